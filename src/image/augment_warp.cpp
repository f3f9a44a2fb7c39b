#include "image/augment_warp.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

namespace engraft::image::augmenting {
namespace {

double radians(double degrees) {
  constexpr double kPi = 3.14159265358979323846;
  return degrees * (kPi / 180.0);
}

/// Linear part in the first two columns.
struct Affine {
  double a, b, c;
  double d, e, f;
};

Affine operator*(const Affine& l, const Affine& r) {
  return {l.a * r.a + l.b * r.d, l.a * r.b + l.b * r.e, l.a * r.c + l.b * r.f + l.c,
          l.d * r.a + l.e * r.d, l.d * r.b + l.e * r.e, l.d * r.c + l.e * r.f + l.f};
}

/// Two neighbours along an axis and the weight of the second.
struct Between {
  int first = 0;
  int second = 0;
  double share = 0;
};

Between between(double coordinate, int size) {
  const double clamped = std::clamp(coordinate, 0.0, static_cast<double>(size - 1));
  Between out;
  out.first = static_cast<int>(clamped);
  out.second = std::min(out.first + 1, size - 1);
  out.share = clamped - out.first;
  return out;
}

int64_t fixed_point(double value) { return static_cast<int64_t>(std::floor(value * 65536.0 + 0.5)); }

}  // namespace

RowColumnMap map_of(const Warp& warp, int size_px) {
  const double angle = radians(warp.rotate_deg), shear = radians(warp.shear_deg);
  const Affine rotation{std::cos(angle), -std::sin(angle), 0, std::sin(angle), std::cos(angle), 0};
  const Affine shift{1, 0, warp.down * size_px, 0, 1, warp.right * size_px};
  const Affine sheared{1, -std::sin(shear), 0, 0, std::cos(shear), 0};
  const Affine zoom{warp.zoom_rows, 0, 0, 0, warp.zoom_columns, 0};
  const double centre = size_px / 2.0 - 0.5;
  const Affine about_centre =
      Affine{1, 0, centre, 0, 1, centre} * (rotation * shift * sheared * zoom) * Affine{1, 0, -centre, 0, 1, -centre};
  return {about_centre.a, about_centre.b, about_centre.c, about_centre.d, about_centre.e, about_centre.f};
}

Picture warped(const Picture& picture, const RowColumnMap& m) {
  Picture out(picture.width_px, picture.height_px);
  uint8_t* to = out.pixels.data();
  for (int y = 0; y < out.height_px; ++y) {
    const double row = m[2] + m[0] * y, column = m[5] + m[3] * y;
    for (int x = 0; x < out.width_px; ++x, to += 3) {
      const Between rows = between(row + m[1] * x, picture.height_px);
      const Between columns = between(column + m[4] * x, picture.width_px);
      const uint8_t* upper = picture.row(rows.first);
      const uint8_t* lower = picture.row(rows.second);
      const int left = 3 * columns.first, right = 3 * columns.second;
      const double upper_left = (1 - rows.share) * (1 - columns.share), upper_right = (1 - rows.share) * columns.share;
      const double lower_left = rows.share * (1 - columns.share), lower_right = rows.share * columns.share;
      for (int c = 0; c < 3; ++c)
        to[c] = static_cast<uint8_t>(upper_left * upper[left + c] + upper_right * upper[right + c] +
                                     lower_left * lower[left + c] + lower_right * lower[right + c] + 0.5);
    }
  }
  return out;
}

Picture moved(const Picture& picture, const PillowMap& m) {
  Picture out(picture.width_px, picture.height_px);
  int64_t first_x = fixed_point(m[2] + m[0] * 0.5 + m[1] * 0.5);
  int64_t first_y = fixed_point(m[5] + m[3] * 0.5 + m[4] * 0.5);
  const int64_t x_by_column = fixed_point(m[0]), x_by_row = fixed_point(m[1]);
  const int64_t y_by_column = fixed_point(m[3]), y_by_row = fixed_point(m[4]);
  uint8_t* to = out.pixels.data();
  for (int row = 0; row < out.height_px; ++row, first_x += x_by_row, first_y += y_by_row) {
    int64_t x = first_x, y = first_y;
    for (int column = 0; column < out.width_px; ++column, x += x_by_column, y += y_by_column, to += 3) {
      const int64_t from_x = x >> 16, from_y = y >> 16;
      if (from_x < 0 || from_x >= picture.width_px || from_y < 0 || from_y >= picture.height_px) continue;
      std::memcpy(to, picture.row(static_cast<int>(from_y)) + 3 * from_x, 3);
    }
  }
  return out;
}

Picture rotated(const Picture& picture, double degrees) {
  const double angle = -radians(degrees);
  const double cosine = std::cos(angle), sine = std::sin(angle);
  const double x = picture.width_px / 2.0, y = picture.height_px / 2.0;
  return moved(picture, {cosine, sine, cosine * -x + sine * -y + x, -sine, cosine, -sine * -x + cosine * -y + y});
}

void mirror(Picture& picture) {
  for (int y = 0; y < picture.height_px; ++y) {
    uint8_t* left = picture.row(y);
    uint8_t* right = left + picture.stride_bytes() - 3;
    for (; left < right; left += 3, right -= 3) std::swap_ranges(left, left + 3, right);
  }
}

}  // namespace engraft::image::augmenting
