#pragma once

#include "image/picture.h"

namespace engraft::image {

/// The orientation (tag 0x0112 of IFD 0, 1 to 8) in an EXIF block that starts with its TIFF header ("II*\0" or
/// "MM\0*"), or after "Exif\0\0". 0 where there is none, it is out of range or the block is damaged.
/// Source: Exif 2.32 (CIPA DC-008), 4.6.2 and 4.6.4.
int exif_orientation(ByteSpan block);

/// The same from an XMP packet's tiff:Orientation, which Pillow falls back to.
int xmp_orientation(ByteSpan packet);

/// The picture upright, for orientation 1 to 8 as Pillow's ImageOps.exif_transpose: 2 mirrored, 3 turned by 180,
/// 4 upside down, 5 transposed, 6 turned clockwise, 7 transversed, 8 turned anticlockwise. Others give it as it is.
Picture upright(Picture picture, int orientation);

}  // namespace engraft::image
