#pragma once

#include <cstdint>
#include <string>

namespace engraft::model {

/// A tiny Inception-like network with random weights as the bytes of a TorchScript archive: blocks stem, mixed_1,
/// mixed_2, 64 px, engraft.json inside. Untrained: it shows that the program works, not what features can do.
std::string example_backbone(uint64_t seed);

/// A network whose one block, `pixels`, is the picture itself, averaged over squares of four by four: a head on it is
/// a probe on raw pixels.
std::string raw_pixels_backbone();

}  // namespace engraft::model
