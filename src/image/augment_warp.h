#pragma once

#include <array>

#include "image/augment_view.h"
#include "image/picture.h"

/// Pictures moved by affine maps. Private to this folder.
namespace engraft::image::augmenting {

/// Where output pixel (row, column) is looked up: row m[0] row + m[1] column + m[2], column m[3] row + m[4] column +
/// m[5], in pixels from the centre of the first one.
using RowColumnMap = std::array<double, 6>;

/// rotation · shift · shear · zoom about the centre of a square of `size_px`. Source: Keras'
/// apply_affine_transform(row_axis=0, col_axis=1), with its centre (size - 1) / 2.
RowColumnMap map_of(const Warp& warp, int size_px);

/// Bilinear; outside of the picture stands its nearest edge pixel (scipy.ndimage.affine_transform with order=1 and
/// mode="nearest", which is what Keras calls). In double precision, rounded to 8 bits, a half upwards.
Picture warped(const Picture& picture, const RowColumnMap& map);

/// Where output point (x, y) is looked up, (0.5, 0.5) being the centre of the first pixel: x = m[0] x + m[1] y + m[2],
/// y = m[3] x + m[4] y + m[5].
using PillowMap = std::array<double, 6>;

/// Nearest pixel, black outside, with the bits of Pillow's Image.transform(size, AFFINE, map, NEAREST): coordinates in
/// 16.16 fixed point (src/libImaging/Geometry.c). They must stay below 32768.
Picture moved(const Picture& picture, const PillowMap& map);

/// Pillow's Image.rotate(degrees) to the same size: counter-clockwise about the centre, nearest, black outside.
Picture rotated(const Picture& picture, double degrees);

/// Left to right.
void mirror(Picture& picture);

}  // namespace engraft::image::augmenting
