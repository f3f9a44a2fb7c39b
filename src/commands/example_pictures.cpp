#include "commands/example_pictures.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/errors.h"
#include "base/random.h"
#include "base/text.h"

namespace engraft::commands {

namespace {

constexpr double kTurn = 6.283185307179586;

const std::array<const char*, 4> kTextures = {"checks", "diagonal", "horizontal", "vertical"};

/// Brightness of a texture in [-1, 1] at x, y, for a wave of `frequency` radians a pixel with phases p and q.
double wave(size_t texture, double x, double y, double frequency, double p, double q) {
  switch (texture) {
    case 0:
      return std::sin(frequency * x + p) * std::sin(frequency * y + q) > 0 ? 1 : -1;
    case 1:
      return std::sin(frequency * (x + y) * std::sqrt(0.5) + p);
    case 2:
      return std::sin(frequency * y + p);
    default:
      return std::sin(frequency * x + p);
  }
}

/// Upright or lying, up to `widest` times as long as wide, with room for its pixels.
image::Picture empty_picture(int64_t short_side, double widest, RandomStream& stream) {
  image::Picture picture;
  picture.width_px = static_cast<int>(static_cast<double>(short_side) * stream.uniform(1.0, widest));
  picture.height_px = static_cast<int>(short_side);
  if (stream.below(2) == 1) std::swap(picture.width_px, picture.height_px);
  picture.pixels.reserve(static_cast<size_t>(picture.width_px) * static_cast<size_t>(picture.height_px) * 3);
  return picture;
}

uint8_t pixel(double value) { return static_cast<uint8_t>(std::min(255.0, std::max(0.0, value))); }

/// A picture of one texture: period, phase, colours, contrast and noise are drawn, so that no pixel by itself tells
/// the class. A pure function of its arguments.
image::Picture draw_texture(size_t texture, uint64_t seed, uint64_t number, int64_t short_side) {
  RandomStream stream(seed, {0x7465787475726573 /* "textures" */, texture, number});
  image::Picture picture = empty_picture(short_side, 1.4, stream);
  const double frequency = kTurn / stream.uniform(0.09, 0.16) / static_cast<double>(short_side);
  const double p = stream.uniform(0, kTurn), q = stream.uniform(0, kTurn);
  const double contrast = stream.uniform(35, 70);
  std::array<double, 3> base{}, tint{};
  for (size_t c = 0; c < 3; ++c) {
    base[c] = stream.uniform(80, 175);
    tint[c] = contrast * stream.uniform(0.6, 1.0) * (stream.below(2) == 1 ? 1 : -1);
  }
  for (int y = 0; y < picture.height_px; ++y) {
    for (int x = 0; x < picture.width_px; ++x) {
      const double level = wave(texture, x, y, frequency, p, q);
      for (size_t c = 0; c < 3; ++c) {
        const double value = base[c] + level * tint[c] + 12 * stream.normal();
        picture.pixels.push_back(pixel(value));
      }
    }
  }
  return picture;
}

using Colour = std::array<double, 3>;

enum class Shape { kDisc, kSquare, kStar, kTriangle };
constexpr size_t kShapes = 4;
enum class Filling { kDots, kStripes };

/// How far u, v lies outside of a shape of radius 1 around 0, about; negative inside.
double outside(Shape shape, double u, double v) {
  switch (shape) {
    case Shape::kDisc:
      return std::hypot(u, v) - 1;
    case Shape::kSquare:
      return std::max(std::abs(u), std::abs(v)) - 0.85;
    case Shape::kTriangle:
      return std::max(-v - 0.55, 0.8660254 * std::abs(u) + 0.5 * v - 0.55);
    case Shape::kStar: {
      const double corner = std::fmod(std::atan2(u, v) + 5 * kTurn, kTurn / 5) - kTurn / 10;  // from a valley
      const double length = std::hypot(u, v), inner = 0.42;
      // The edge from the valley (inner, angle 0) to the tip (1, angle 36 degrees).
      const double x = length * std::cos(corner), y = std::abs(length * std::sin(corner));
      const double tip_x = std::cos(kTurn / 10) * 1.05, tip_y = std::sin(kTurn / 10) * 1.05;
      const double edge = std::hypot(tip_x - inner, tip_y);
      return ((x - inner) * tip_y - y * (tip_x - inner)) / edge;
    }
  }
  return 1;
}

/// 1 where a filling of period 1 has its marks, else 0.
double mark(Filling filling, double u, double v) {
  if (filling == Filling::kStripes) return u - std::floor(u) < 0.5 ? 1 : 0;
  const double x = u - std::floor(u) - 0.5, y = v - std::floor(v) - 0.5;
  return x * x + y * y < 0.1 ? 1 : 0;
}

/// A colour that differs from `other` by 45 to 95 in every channel.
Colour apart_from(const Colour& other, RandomStream& stream) {
  Colour colour{};
  for (size_t c = 0; c < 3; ++c) {
    const double step = stream.uniform(45, 95) * (stream.below(2) == 1 ? 1 : -1);
    colour[c] = other[c] + step < 10 || other[c] + step > 245 ? other[c] - step : other[c] + step;
  }
  return colour;
}

/// A shape at its place, turned and filled.
struct Figure {
  Shape shape = Shape::kDisc;
  Filling filling = Filling::kDots;
  double x = 0, y = 0, radius = 1, cosine = 1, sine = 0;  // of the turn
  double period = 1;                                      // in radii
  Colour base{}, marks{};                                 // equal for a plain one

  /// Lays the figure over `under`, the colour at px, py; its edge is a pixel wide.
  void lay(double px, double py, Colour& under) const {
    const double dx = (px - x) / radius, dy = (py - y) / radius;
    if (dx * dx + dy * dy > 1.7) return;
    const double u = cosine * dx + sine * dy, v = cosine * dy - sine * dx;
    const double cover = std::min(1.0, std::max(0.0, 0.5 - outside(shape, u, v) * radius));
    if (cover == 0) return;
    const Colour& own = mark(filling, u / period, v / period) > 0 ? marks : base;
    for (size_t c = 0; c < 3; ++c) under[c] += cover * (own[c] - under[c]);
  }
};

Figure drawn_figure(Shape shape, double radius, double width, double height, RandomStream& stream) {
  Figure figure;
  figure.shape = shape;
  figure.radius = radius;
  figure.x = stream.uniform(0.8 * radius, width - 0.8 * radius);
  figure.y = stream.uniform(0.8 * radius, height - 0.8 * radius);
  const double turn = stream.uniform(0, kTurn);
  figure.cosine = std::cos(turn);
  figure.sine = std::sin(turn);
  figure.period = stream.uniform(0.35, 0.55);
  return figure;
}

/// A colour with a faint pattern, whatever the class, and light that falls off to a side.
struct Ground {
  Colour colour{};
  Filling pattern = Filling::kDots;
  double cosine = 1, sine = 0;  // of the pattern's turn, over its period
  double contrast = 0, light_x = 0, light_y = 0;

  Colour at(double x, double y) const {
    Colour patterned = colour;
    for (double& channel : patterned) channel += contrast * mark(pattern, cosine * x + sine * y, cosine * y - sine * x);
    return patterned;
  }
};

Ground drawn_ground(double width, double height, double side, RandomStream& stream) {
  Ground ground;
  for (double& channel : ground.colour) channel = stream.uniform(40, 215);
  ground.pattern = stream.below(2) == 1 ? Filling::kDots : Filling::kStripes;
  const double turn = stream.uniform(0, kTurn), period = side * stream.uniform(0.05, 0.12);
  ground.cosine = std::cos(turn) / period;
  ground.sine = std::sin(turn) / period;
  ground.contrast = stream.uniform(8, 20) * (stream.below(2) == 1 ? 1 : -1);
  ground.light_x = stream.uniform(-40, 40) / width;
  ground.light_y = stream.uniform(-40, 40) / height;
  return ground;
}

/// Some plain shapes of any kind, then the one that the class is of, where a centre crop leaves it.
std::vector<Figure> drawn_figures(size_t label, const Ground& ground, double width, double height, double side,
                                  RandomStream& stream) {
  std::vector<Figure> figures;
  for (uint64_t i = 2 + stream.below(3); i > 0; --i) {
    Figure plain = drawn_figure(static_cast<Shape>(stream.below(kShapes)), side * stream.uniform(0.03, 0.06), width,
                                height, stream);
    plain.base = plain.marks = apart_from(ground.colour, stream);
    figures.push_back(plain);
  }
  Figure figure =
      drawn_figure(static_cast<Shape>(label % kShapes), side * stream.uniform(0.28, 0.42), width, height, stream);
  figure.x = width / 2 + side * stream.uniform(-0.15, 0.15);
  figure.y = height / 2 + side * stream.uniform(-0.15, 0.15);
  figure.filling = label < kShapes ? Filling::kDots : Filling::kStripes;
  figure.base = apart_from(ground.colour, stream);
  figure.marks = apart_from(figure.base, stream);
  figures.push_back(figure);
  return figures;
}

/// Class `label` is shape label % 4 with filling label / 4.
image::Picture draw_shape(size_t label, uint64_t seed, uint64_t number, int64_t short_side) {
  RandomStream stream(seed, {0x736861706573 /* "shapes" */, label, number});
  image::Picture picture = empty_picture(short_side, 1.5, stream);
  const double width = picture.width_px, height = picture.height_px, side = static_cast<double>(short_side);
  const Ground ground = drawn_ground(width, height, side, stream);
  const std::vector<Figure> figures = drawn_figures(label, ground, width, height, side, stream);
  for (int y = 0; y < picture.height_px; ++y) {
    for (int x = 0; x < picture.width_px; ++x) {
      Colour colour = ground.at(x, y);
      for (const Figure& figure : figures) figure.lay(x, y, colour);
      const double light = ground.light_x * (x - width / 2) + ground.light_y * (y - height / 2) + 9 * stream.normal();
      for (const double channel : colour) picture.pixels.push_back(pixel(channel + light));
    }
  }
  return picture;
}

}  // namespace

std::vector<std::string> drawn_set_names() { return {"textures", "shapes"}; }

DrawnSet drawn_set(const std::string& name) {
  if (name == "textures") return {{kTextures.begin(), kTextures.end()}, draw_texture};
  if (name == "shapes") {
    return {{"dotted-disc", "dotted-square", "dotted-star", "dotted-triangle", "striped-disc", "striped-square",
             "striped-star", "striped-triangle"},
            draw_shape};
  }
  throw UsageError("no pictures '" + name + "' to draw; known: " + text::join(drawn_set_names(), " "));
}

}  // namespace engraft::commands
