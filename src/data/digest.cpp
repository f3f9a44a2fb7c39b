#include "data/digest.h"

#include <algorithm>
#include <vector>

#include "base/errors.h"
#include "base/stop.h"
#include "data/picture_file.h"
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

std::string size_of(const Sample& sample) {
  const io::FileFacts facts = look_at_picture(sample);
  return facts.bytes >= 0 ? std::to_string(facts.bytes) : kUnreadable;
}

std::string facts_of(const Sample& sample) {
  const io::FileFacts facts = look_at_picture(sample);
  return facts.bytes >= 0 ? std::to_string(facts.bytes) + " " + std::to_string(facts.modified_ns) : kUnreadable;
}

io::FileFacts content_of(const Sample& sample) {
  io::FileFacts facts;
  try {
    const std::string bytes = read_picture(sample);
    facts.bytes = static_cast<int64_t>(bytes.size());
    facts.digest = io::digest_of(bytes);
  } catch (const DataError&) {
    facts.bytes = -1;
  }
  return facts;
}

std::string text_of(const io::FileFacts& facts) { return facts.bytes < 0 ? kUnreadable : io::to_hex(facts.digest); }

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
constexpr const char* kOfFacts = "engraft data 1 facts";

}  // namespace

std::string data_digest(const Listing& listing, DigestOf what) {
  if (what == DigestOf::kSizes)
    return digest_with(listing, kOfSizes, [&](size_t i) { return size_of(listing.samples[i]); });
  if (what == DigestOf::kFacts)
    return digest_with(listing, kOfFacts, [&](size_t i) { return facts_of(listing.samples[i]); });
  return data_digest(listing, read_contents(listing));
}

std::string data_digest(const Listing& listing, const std::vector<io::FileFacts>& facts) {
  return digest_with(listing, kOfContent, [&](size_t i) { return text_of(facts.at(i)); });
}

std::vector<io::FileFacts> read_contents(const Listing& listing) {
  std::vector<io::FileFacts> facts;
  facts.reserve(listing.samples.size());
  for (const Sample& sample : listing.samples) {
    throw_if_stopped("taking the digest of the data");
    facts.push_back(content_of(sample));
  }
  return facts;
}

std::string rows_digest(const Listing& listing, const std::vector<int64_t>& rows,
                        const std::vector<io::FileFacts>& facts) {
  io::Xxh128 digest;
  for (const int64_t row : rows) {
    const Sample& sample = listing.samples.at(static_cast<size_t>(row));
    add_field(digest, sample.image_path);
    add_field(digest, sample.label_name);
    add_field(digest, text_of(facts.at(static_cast<size_t>(row))));
  }
  return digest.hex();
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
