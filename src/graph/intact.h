#pragma once

#include <string>

namespace engraft::graph {

/// The first record of the zip archive `path` whose bytes do not have the CRC-32 that the archive keeps of them; empty
/// when all do. LibTorch does not look. A recorded CRC of 0, which PyTorch writes when asked not to compute any
/// (torch.serialization.set_crc32_options), is passed over. Throws ModelError when `path` is no zip archive.
std::string first_damaged_record(const std::string& path);

}  // namespace engraft::graph
