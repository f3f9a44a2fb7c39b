#include "sweep/input_digests.h"

#include <filesystem>
#include <utility>

#include "base/target.h"
#include "base/text.h"
#include "data/digest.h"
#include "data/listing.h"
#include "io/digest.h"
#include "io/file_facts.h"

namespace engraft::sweep {

namespace {

Target target_of(const io::Json& options) {
  return target_from_text(options.at("loss").get<std::string>()).value_or(Target::kSoftmax);
}

}  // namespace

std::string name_of_data(const io::Json& options) {
  return text::cat(options.at("data").get<std::string>(), " ", text::shortest(options.at("val_fraction").get<double>()),
                   " ", to_text(target_of(options)));
}

std::string digest_in(const io::Json& digests, const std::string& name) {
  return digests.contains(name) ? digests.at(name).value("digest", "") : "";
}

InputDigests::InputDigests(io::Json known, Reporter& reporter) : known_(std::move(known)), reporter_(reporter) {}

template <class Take>
std::string InputDigests::known_or(const std::string& name, const io::Json& now, const Take& take) {
  if (const auto found = taken_.find(name); found != taken_.end()) return found->second;
  if (!known_.contains(name) || known_.at(name).value("by", io::Json()) != now)
    known_[name] = {{"by", now}, {"digest", take()}};
  return taken_[name] = known_.at(name).at("digest").get<std::string>();
}

std::string InputDigests::of_network(const std::string& path) {
  if (path.empty() || text::starts_with(path, "new:")) return path;
  const io::FileFacts facts = io::look_at_file(path);
  const io::Json now = {{"bytes", facts.bytes}, {"modified_ns", facts.modified_ns}};
  const std::string of_file = known_or(path, now, [&] { return io::sha256_of_file(path); });
  const std::string beside = std::filesystem::path(path).replace_extension(".toml");  // how its pictures are prepared
  return std::filesystem::exists(beside) ? of_file + " " + io::sha256_of_file(beside) : of_file;
}

std::string InputDigests::of_data(const io::Json& options) {
  const std::string path = options.at("data"), name = name_of_data(options);
  const double fraction = options.at("val_fraction");
  if (const auto found = taken_.find(name); found != taken_.end()) return found->second;
  const data::Listing listing = data::list_data(path, {fraction, true, {}, target_of(options)});
  reporter_.note(
      text::cat("data: ", path, ", ", text::count_of(static_cast<int64_t>(listing.samples.size()), "picture")));
  pictures_[name] = static_cast<int64_t>(listing.samples.size());
  const io::Json now = {{"facts", data::data_digest(listing, data::DigestOf::kFacts)}};
  return known_or(name, now, [&] { return data::data_digest(listing); });
}

}  // namespace engraft::sweep
