#pragma once

#include <string>

#include "image/picture.h"

namespace engraft::image {

/// The picture as an 8-bit RGB PNG file. Throws DataError for an empty picture.
std::string encode_png(const Picture& picture);

/// The picture as a baseline JPEG file, 4:2:0, `quality` 1 to 100. Throws DataError for an empty picture or one side
/// over 65500, UsageError for the quality.
std::string encode_jpeg(const Picture& picture, int quality);

}  // namespace engraft::image
