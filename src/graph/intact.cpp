#include "graph/intact.h"

#include <zip.h>

#include <memory>
#include <vector>

#include "base/errors.h"

namespace engraft::graph {

namespace {

struct CloseArchive {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
struct CloseRecord {
  void operator()(zip_file_t* record) const { zip_fclose(record); }
};

/// Whether the record's bytes can be read to their end; libzip compares the CRC there.
bool is_intact(zip_t* archive, zip_uint64_t index, std::vector<char>& piece) {
  const std::unique_ptr<zip_file_t, CloseRecord> record(zip_fopen_index(archive, index, 0));
  if (record == nullptr) return false;
  zip_int64_t got = 0;
  do {
    got = zip_fread(record.get(), piece.data(), piece.size());
  } while (got > 0);
  return got == 0;
}

}  // namespace

std::string first_damaged_record(const std::string& path) {
  int code = 0;
  const std::unique_ptr<zip_t, CloseArchive> archive(zip_open(path.c_str(), ZIP_RDONLY, &code));
  if (archive == nullptr) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const std::string reason = zip_error_strerror(&error);
    zip_error_fini(&error);
    throw ModelError(path + ": cannot be read as a zip archive: " + reason);
  }
  std::vector<char> piece(1 << 20);
  const zip_int64_t records = zip_get_num_entries(archive.get(), 0);
  for (zip_int64_t i = 0; i < records; ++i) {
    const auto index = static_cast<zip_uint64_t>(i);
    zip_stat_t about;
    zip_stat_init(&about);
    const bool is_known = zip_stat_index(archive.get(), index, 0, &about) == 0;
    const bool has_crc = is_known && (about.valid & ZIP_STAT_CRC) != 0 && about.crc != 0;
    if (is_known && !has_crc) continue;
    if (is_known && is_intact(archive.get(), index, piece)) continue;
    return is_known && (about.valid & ZIP_STAT_NAME) != 0 ? about.name : "without a name";
  }
  return "";
}

}  // namespace engraft::graph
