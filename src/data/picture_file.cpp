#include "data/picture_file.h"

#include "base/errors.h"
#include "io/atomic_file.h"

namespace engraft::data {

namespace {

bool is_as_listed(const io::FileFacts& archive, const Sample& sample) {
  return archive.bytes == sample.archive_bytes && archive.modified_ns == sample.archive_modified_ns;
}

}  // namespace

std::string read_picture(const Sample& sample) {
  if (sample.offset < 0) return io::read_regular_file(sample.file);
  std::string bytes = io::read_part(sample.file, sample.offset, sample.bytes);
  if (!is_as_listed(io::look_at_file(sample.file), sample))  // looked at last: what was read is of what was listed
    throw DataError("cannot read " + sample.image_path + ": the archive was changed since it was listed");
  return bytes;
}

io::FileFacts look_at_picture(const Sample& sample) {
  io::FileFacts facts = io::look_at_file(sample.file);
  if (sample.offset >= 0) facts.bytes = is_as_listed(facts, sample) ? sample.bytes : -1;
  return facts;
}

}  // namespace engraft::data
