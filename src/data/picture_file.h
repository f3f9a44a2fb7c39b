#pragma once

#include <string>

#include "data/listing.h"
#include "io/file_facts.h"

namespace engraft::data {

/// The bytes of a sample's picture, a file of its own or a part of an archive. Throws DataError "cannot read …".
std::string read_picture(const Sample& sample);

/// Size of the picture and time of its file, without opening it. Throws nothing.
io::FileFacts look_at_picture(const Sample& sample);

}  // namespace engraft::data
