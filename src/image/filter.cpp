#include "image/filter.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace engraft::image::filter {
namespace {

constexpr int kPrecisionBits = 32 - 8 - 2;

double bilinear(double x) {
  x = std::fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

/// Keys' cubic with a = -0.5.
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

int32_t fixed_point(double weight) {
  const double scaled = weight * (1 << kPrecisionBits);
  return static_cast<int32_t>(weight < 0 ? -0.5 + scaled : 0.5 + scaled);
}

/// Sixteen rows of a picture side by side, column by column: [columns, 16, 3]. With it the pass along a row is the
/// same sum over lines as the pass along a column, and both run through one kernel.
constexpr int kRowsABlock = 16;
constexpr int kLanesABlock = 3 * kRowsABlock;

void gather_rows(const uint8_t* source, size_t stride, int rows, int columns, uint8_t* block) {
  constexpr int kColumnsATile = 64;  // stays in the first-level cache
  for (int tile = 0; tile < columns; tile += kColumnsATile) {
    const int tile_end = std::min(columns, tile + kColumnsATile);
    for (int r = 0; r < rows; ++r) {
      const uint8_t* from = source + static_cast<size_t>(r) * stride + static_cast<size_t>(tile) * 3;
      uint8_t* to = block + static_cast<size_t>(tile) * kLanesABlock + 3 * r;
      for (int x = tile; x < tile_end; ++x, from += 3, to += kLanesABlock) std::memcpy(to, from, 3);
    }
  }
}

/// Rows of pixels: `first` is the sample of the first row that the first weight of the columns needs.
struct Lines {
  const uint8_t* first = nullptr;
  size_t stride = 0;
};

Lines lines_of(const Picture& picture, int y, int x) {
  return {picture.row(y) + static_cast<size_t>(x) * 3, picture.stride_bytes()};
}

/// `count` rows through the pass along rows, to out [count, columns.count(), 3].
void filter_rows(Kernel kernel, const Lines& lines, const Weights& columns, int count, uint8_t* out) {
  const int needed = columns.end() - columns.begin();
  const size_t out_stride = static_cast<size_t>(columns.count()) * 3;
  std::vector<uint8_t> block(static_cast<size_t>(needed) * kLanesABlock);
  uint8_t column[kLanesABlock];
  Line line;
  line.stride = kLanesABlock;
  line.out = column;
  for (int y = 0; y < count; y += kRowsABlock) {
    const int rows = std::min(kRowsABlock, count - y);
    gather_rows(lines.first + static_cast<size_t>(y) * lines.stride, lines.stride, rows, needed, block.data());
    line.lanes = 3 * rows;
    for (int x = 0; x < columns.count(); ++x) {
      line.source = block.data() + static_cast<size_t>(columns.first(x) - columns.begin()) * kLanesABlock;
      line.weights = columns.weights(x);
      line.taps = columns.taps(x);
      kernel(line);
      uint8_t* to = out + static_cast<size_t>(y) * out_stride + static_cast<size_t>(x) * 3;
      for (int r = 0; r < rows; ++r, to += out_stride) std::memcpy(to, column + 3 * r, 3);
    }
  }
}

/// The pass along columns: `source` is row rows.begin() of the lines, `lanes` bytes each.
void filter_columns(Kernel kernel, const uint8_t* source, size_t stride, const Weights& rows, int lanes, uint8_t* out) {
  Line line;
  line.stride = static_cast<ptrdiff_t>(stride);
  line.lanes = lanes;
  for (int y = 0; y < rows.count(); ++y) {
    line.source = source + static_cast<size_t>(rows.first(y) - rows.begin()) * stride;
    line.weights = rows.weights(y);
    line.taps = rows.taps(y);
    line.out = out + static_cast<size_t>(y) * static_cast<size_t>(lanes);
    kernel(line);
  }
}

/// Note [Which pass comes first]: each pass rounds to 8 bits, so that their order shows in the last bit. Pillow 13
/// takes the rows first where the height shrinks by more than twice what the width does, in pixels, and the columns
/// first otherwise; found by resizing 6000 random sizes either way (golden_pillow.py compares real pictures). Older
/// versions always take the columns first, which differs by at most 1 in such tall pictures.
bool rows_first(const Picture& picture, const CropPlan& plan) {
  const int64_t rows_lost = static_cast<int64_t>(picture.height_px) - plan.resized_height_px;
  const int64_t columns_lost = static_cast<int64_t>(picture.width_px) - plan.resized_width_px;
  return rows_lost > 0 && rows_lost > 2 * columns_lost;
}

}  // namespace

Weights::Weights(int in_size, int out_size, int from, int to, Interpolation interpolation) {
  double (*const filter)(double) = interpolation == Interpolation::kBilinear ? bilinear : bicubic;
  const double filter_support = interpolation == Interpolation::kBilinear ? 1.0 : 2.0;
  const double scale = static_cast<double>(in_size) / out_size;
  const double filter_scale = std::max(scale, 1.0);
  const double support = filter_support * filter_scale;
  const double inverse = 1.0 / filter_scale;
  row_ = std::min(static_cast<size_t>(std::ceil(support)) * 2 + 1, static_cast<size_t>(in_size));
  const auto count = static_cast<size_t>(to - from);
  first_.resize(count);
  taps_.resize(count);
  weights_.assign(count * row_, 0);
  std::vector<double> row(row_);
  for (size_t i = 0; i < count; ++i) {
    const double center = (from + static_cast<int>(i) + 0.5) * scale;
    const int begin = std::max(0, static_cast<int>(center - support + 0.5));
    const int end = std::min(in_size, static_cast<int>(center + support + 0.5));
    const int taps = end - begin;
    double sum = 0.0;
    for (int t = 0; t < taps; ++t) {
      row[static_cast<size_t>(t)] = filter((t + begin - center + 0.5) * inverse);
      sum += row[static_cast<size_t>(t)];
    }
    for (int t = 0; t < taps; ++t) {
      double weight = row[static_cast<size_t>(t)];
      if (sum != 0.0) weight /= sum;
      weights_[i * row_ + static_cast<size_t>(t)] = fixed_point(weight);
    }
    first_[i] = begin;
    taps_[i] = taps;
  }
}

void weigh_portable(const Line& line) {
  constexpr int kLanes = 32;
  for (int lane = 0; lane < line.lanes; lane += kLanes) {
    const int lanes = std::min(kLanes, line.lanes - lane);
    int32_t sums[kLanes];
    std::fill(sums, sums + kLanes, 1 << (kPrecisionBits - 1));
    const uint8_t* source = line.source + lane;
    for (int t = 0; t < line.taps; ++t, source += line.stride) {
      const int32_t weight = line.weights[t];
      if (lanes == kLanes)
        for (int i = 0; i < kLanes; ++i) sums[i] += weight * source[i];
      else
        for (int i = 0; i < lanes; ++i) sums[i] += weight * source[i];
    }
    for (int i = 0; i < lanes; ++i)
      line.out[lane + i] = static_cast<uint8_t>(std::clamp(sums[i] >> kPrecisionBits, 0, 255));
  }
}

Kernel best_kernel() {
  static const Kernel kernel = avx2_kernel() != nullptr ? avx2_kernel() : weigh_portable;
  return kernel;
}

void resize_crop_with(Kernel kernel, const Picture& picture, const CropPlan& plan, Interpolation interpolation,
                      uint8_t* out) {
  const bool columns_change = plan.resized_width_px != picture.width_px;
  const bool rows_change = plan.resized_height_px != picture.height_px;
  const int bottom = plan.top_px + plan.height_px, right = plan.left_px + plan.width_px;
  const size_t out_stride = static_cast<size_t>(plan.width_px) * 3;
  const size_t left_bytes = static_cast<size_t>(plan.left_px) * 3;
  if (!columns_change && !rows_change) {
    for (int y = plan.top_px; y < bottom; ++y, out += out_stride)
      std::memcpy(out, picture.row(y) + left_bytes, out_stride);
    return;
  }
  if (!columns_change) {
    const Weights rows(picture.height_px, plan.resized_height_px, plan.top_px, bottom, interpolation);
    const uint8_t* source = picture.row(rows.begin()) + left_bytes;
    filter_columns(kernel, source, picture.stride_bytes(), rows, static_cast<int>(out_stride), out);
    return;
  }
  const Weights columns(picture.width_px, plan.resized_width_px, plan.left_px, right, interpolation);
  if (!rows_change) {
    filter_rows(kernel, lines_of(picture, plan.top_px, columns.begin()), columns, plan.height_px, out);
    return;
  }
  const Weights rows(picture.height_px, plan.resized_height_px, plan.top_px, bottom, interpolation);
  if (rows_first(picture, plan)) {
    const size_t low_lanes = static_cast<size_t>(columns.end() - columns.begin()) * 3;
    std::vector<uint8_t> low(static_cast<size_t>(plan.height_px) * low_lanes);
    const uint8_t* source = picture.row(rows.begin()) + static_cast<size_t>(columns.begin()) * 3;
    filter_columns(kernel, source, picture.stride_bytes(), rows, static_cast<int>(low_lanes), low.data());
    filter_rows(kernel, {low.data(), low_lanes}, columns, plan.height_px, out);
    return;
  }
  const int needed_rows = rows.end() - rows.begin();
  std::vector<uint8_t> narrow(static_cast<size_t>(needed_rows) * out_stride);
  filter_rows(kernel, lines_of(picture, rows.begin(), columns.begin()), columns, needed_rows, narrow.data());
  filter_columns(kernel, narrow.data(), out_stride, rows, static_cast<int>(out_stride), out);
}

}  // namespace engraft::image::filter
