#include "data/digest.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/stop.h"
#include "io/digest.h"

namespace engraft::data {

namespace {

constexpr const char* kUnreadable = "unreadable";

/// Adds a field such that no two lists of fields give the same bytes.
void add_field(io::Xxh128& digest, std::string_view field) {
  digest.add(std::to_string(field.size()));
  digest.add(":");
  digest.add(field);
}

std::string size_of(const std::string& file) {
  struct stat info {};
  return ::stat(file.c_str(), &info) == 0 ? std::to_string(info.st_size) : kUnreadable;
}

std::string content_of(const std::string& file, std::vector<char>& piece) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must not be waited for
  if (descriptor < 0) return kUnreadable;
  struct stat info {};
  if (::fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor);
    return kUnreadable;
  }
  io::Xxh128 digest;
  ssize_t got = 0;
  do {
    got = ::read(descriptor, piece.data(), piece.size());
    if (got > 0) digest.add(piece.data(), static_cast<size_t>(got));
  } while (got > 0 || (got < 0 && errno == EINTR));
  ::close(descriptor);
  return got < 0 ? kUnreadable : digest.hex();
}

/// Of the listing, and of what `file_text` says of each sample's file.
template <class FileText>
std::string digest_with(const Listing& listing, const char* kind, const FileText& file_text) {
  io::Xxh128 digest;
  add_field(digest, kind);
  add_field(digest, std::to_string(listing.classes.size()));
  for (const std::string& name : listing.classes) add_field(digest, name);
  add_field(digest, std::to_string(listing.slice_names.size()));
  for (const std::string& name : listing.slice_names) add_field(digest, name);
  for (size_t i = 0; i < listing.samples.size(); ++i) {
    const Sample& sample = listing.samples[i];
    throw_if_stopped("taking the digest of the data");
    add_field(digest, sample.image_path);
    add_field(digest, sample.label_name);
    add_field(digest, sample.split);
    for (const std::string& slice : sample.slices) add_field(digest, slice);
    add_field(digest, file_text(i));
  }
  return digest.hex();
}

constexpr const char* kOfContent = "engraft data 1 content";
constexpr const char* kOfSizes = "engraft data 1 sizes";

}  // namespace

std::string data_digest(const Listing& listing, DigestOf what) {
  if (what == DigestOf::kSizes)
    return digest_with(listing, kOfSizes, [&](size_t i) { return size_of(listing.samples[i].file); });
  std::vector<char> piece(1 << 20);
  return digest_with(listing, kOfContent, [&](size_t i) { return content_of(listing.samples[i].file, piece); });
}

std::string data_digest(const Listing& listing, const std::vector<io::FileFacts>& facts) {
  return digest_with(listing, kOfContent, [&](size_t i) {
    return facts.at(i).bytes < 0 ? std::string(kUnreadable) : io::to_hex(facts[i].digest);
  });
}

std::vector<std::string> path_sample(const Listing& listing, const std::vector<int64_t>& rows, size_t most) {
  std::vector<std::string> digests;
  digests.reserve(rows.size());
  for (const int64_t row : rows) {
    io::Xxh128 digest;
    digest.add(listing.samples[static_cast<size_t>(row)].image_path);
    digests.push_back(digest.hex());
  }
  const size_t kept = std::min(most, digests.size());
  std::partial_sort(digests.begin(), digests.begin() + static_cast<std::ptrdiff_t>(kept), digests.end());
  digests.resize(kept);
  return digests;
}

int64_t count_sampled(const Listing& listing, const std::vector<int64_t>& rows,
                      const std::vector<std::string>& sample) {
  const std::vector<std::string> digests = path_sample(listing, rows, rows.size());
  return std::count_if(sample.begin(), sample.end(), [&](const std::string& digest) {
    return std::binary_search(digests.begin(), digests.end(), digest);
  });
}

}  // namespace engraft::data
