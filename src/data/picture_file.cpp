#include "data/picture_file.h"

#include "io/atomic_file.h"

namespace engraft::data {

std::string read_picture(const Sample& sample) {
  return sample.offset < 0 ? io::read_regular_file(sample.file)
                           : io::read_part(sample.file, sample.offset, sample.bytes);
}

io::FileFacts look_at_picture(const Sample& sample) {
  io::FileFacts facts = io::look_at_file(sample.file);
  if (sample.offset < 0 || facts.bytes < 0) return facts;
  facts.bytes = facts.bytes < sample.offset + sample.bytes ? -1 : sample.bytes;
  return facts;
}

}  // namespace engraft::data
