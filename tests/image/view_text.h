#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "base/text.h"
#include "image/augment_view.h"

/// Views as one word of text, for goldens and the programs that make them:
/// crop=LEFT,TOP,WIDTH,HEIGHT;warp=ROTATE,DOWN,RIGHT,SHEAR,ZOOM_ROWS,ZOOM_COLUMNS;flip;trivial=OPERATION,MAGNITUDE;
/// jitter=ORDER,BRIGHTNESS,CONTRAST,SATURATION,HUE;erase=LEFT,TOP,WIDTH,HEIGHT, each part where there is one; else "-".
namespace engraft::test {

inline std::string text_of(const image::View& view) {
  std::vector<std::string> parts;
  const auto add = [&parts](const std::string& name, const std::vector<double>& numbers) {
    std::vector<std::string> words;
    for (const double number : numbers) words.push_back(text::shortest(number));
    parts.push_back(name + "=" + text::join(words, ","));
  };
  const auto add_box = [&](const std::string& name, const image::Box& b) {
    add(name, {double(b.left_px), double(b.top_px), double(b.width_px), double(b.height_px)});
  };
  if (view.crop) add_box("crop", *view.crop);
  if (const auto& w = view.warp)
    add("warp", {w->rotate_deg, w->down, w->right, w->shear_deg, w->zoom_rows, w->zoom_columns});
  if (view.mirrored) parts.push_back("flip");
  if (const auto& t = view.trivial) add("trivial", {double(int(t->operation)), t->magnitude});
  if (const auto& j = view.jitter) {
    const double order = ((j->order[0] * 10 + j->order[1]) * 10 + j->order[2]) * 10 + j->order[3];
    add("jitter", {order, j->brightness, j->contrast, j->saturation, j->hue});
  }
  if (view.erased) add_box("erase", *view.erased);
  return parts.empty() ? "-" : text::join(parts, ";");
}

inline void read_part(const std::string& name, const std::vector<double>& n, image::View& view) {
  const auto box = [&n] { return image::Box{int(n.at(0)), int(n.at(1)), int(n.at(2)), int(n.at(3))}; };
  if (name == "crop") {
    view.crop = box();
  } else if (name == "warp") {
    view.warp = image::Warp{n.at(0), n.at(1), n.at(2), n.at(3), n.at(4), n.at(5)};
  } else if (name == "flip") {
    view.mirrored = true;
  } else if (name == "trivial") {
    view.trivial = image::Trivial{static_cast<image::TrivialOperation>(int(n.at(0))), n.at(1)};
  } else if (name == "jitter") {
    const int order = int(n.at(0));
    view.jitter = image::Jitter{
        {order / 1000, order / 100 % 10, order / 10 % 10, order % 10}, n.at(1), n.at(2), n.at(3), n.at(4)};
  } else if (name == "erase") {
    view.erased = box();
  } else {
    throw std::runtime_error("no part of a view: " + name);
  }
}

inline image::View view_of(const std::string& word) {
  image::View view;
  if (word == "-") return view;
  for (const std::string& part : text::split(word, ';')) {
    const size_t equals = part.find('=');
    std::vector<double> numbers;
    if (equals != std::string::npos)
      for (const std::string& number : text::split(part.substr(equals + 1), ','))
        numbers.push_back(text::to_double(number).value());
    read_part(part.substr(0, equals), numbers, view);
  }
  return view;
}

/// "SIZE:RESIZE:INTERPOLATION", as "150:squash:bilinear".
inline image::Preprocessing preprocessing_of(const std::string& config) {
  const std::vector<std::string> words = text::split(config, ':');
  image::Preprocessing out;
  out.size_px = static_cast<int>(text::to_int(words.at(0)).value());
  out.resize = words.at(1);
  out.interpolation = words.at(2);
  return out;
}

}  // namespace engraft::test
