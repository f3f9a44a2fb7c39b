#include "io/file_facts.h"

#include <sys/stat.h>

namespace engraft::io {

FileFacts look_at_file(const std::string& path) {
  struct stat info {};
  FileFacts facts;
  if (::stat(path.c_str(), &info) != 0) return facts;
  facts.bytes = static_cast<int64_t>(info.st_size);
  facts.modified_ns = static_cast<int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec;
  return facts;
}

Digest128 digest_of(std::string_view bytes) {
  Xxh128 digest;
  digest.add(bytes);
  return digest.value();
}

}  // namespace engraft::io
