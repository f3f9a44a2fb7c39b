#include "commands/embed_rows.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_set>

#include "base/errors.h"
#include "base/stop.h"
#include "data/picture_file.h"
#include "store/feature_index.h"

namespace engraft::commands {

namespace {

/// Whether the picture's bytes are what they were, by their digest.
bool holds_the_same(const data::Sample& sample, const io::FileFacts& before) {
  try {
    return io::digest_of(data::read_picture(sample)) == before.digest;
  } catch (const DataError&) {
    return false;
  }
}

bool can_be_read(const data::Sample& sample) {
  try {
    data::read_picture(sample);
    return true;
  } catch (const DataError&) {
    return false;
  }
}

bool is_same(const data::Sample& sample, const io::FileFacts& before, bool verify) {
  if (before.bytes < 0) return !can_be_read(sample);  // nor could it then
  const io::FileFacts now = data::look_at_picture(sample);
  if (!verify && now.looks_like(before)) return true;
  return now.bytes >= 0 && now.bytes == before.bytes && holds_the_same(sample, before);
}

}  // namespace

Missing missing_of(const data::Listing& listing, const std::vector<store::PictureFile>& known, bool verify) {
  std::unordered_map<std::string_view, const io::FileFacts*> facts;
  for (const store::PictureFile& file : known) facts.emplace(file.image_path, &file.facts);
  Missing missing;
  for (size_t i = 0; i < listing.samples.size(); ++i) {
    const data::Sample& sample = listing.samples[i];
    const auto before = facts.find(sample.image_path);
    if (before == facts.end()) {
      ++missing.added;
    } else {
      throw_if_stopped("looking for what is new");
      if (is_same(sample, *before->second, verify)) continue;
      ++missing.changed;
    }
    missing.rows.push_back(static_cast<int64_t>(i));
  }
  if (known.empty()) return missing;
  std::unordered_set<std::string_view> listed;
  for (const data::Sample& sample : listing.samples) listed.insert(sample.image_path);
  missing.gone = std::count_if(known.begin(), known.end(),
                               [&](const store::PictureFile& file) { return listed.count(file.image_path) == 0; });
  return missing;
}

namespace {

bool has_views(const data::Sample& sample, const finetune::Views& views) {
  return views.is_random() && (sample.split.empty() || sample.split == "train");
}

}  // namespace

std::vector<int64_t> items_to_store(const data::Listing& listing, const std::vector<int64_t>& rows,
                                    const finetune::Views& views) {
  std::vector<int64_t> items;
  for (const int64_t row : rows) {
    const bool is_seen_in_views = has_views(listing.samples[static_cast<size_t>(row)], views);
    for (int64_t view = 0; view < (is_seen_in_views ? views.count : 1); ++view)
      items.push_back(is_seen_in_views ? views.item(row, view) : row);
  }
  return items;
}

std::vector<int64_t> one_item_each(const data::Listing& listing, const finetune::Views& views) {
  std::vector<int64_t> items;
  for (const data::Sample& sample : listing.samples) {
    const auto row = static_cast<int64_t>(items.size());
    items.push_back(has_views(sample, views) ? views.item(row, row % views.count) : row);
  }
  return items;
}

int64_t count_unread(const data::Listing& listing, const std::vector<store::PictureFile>& newest) {
  std::unordered_set<std::string_view> unread;
  for (const store::PictureFile& file : newest) {
    if (file.row < 0) unread.insert(file.image_path);
  }
  return std::count_if(listing.samples.begin(), listing.samples.end(),
                       [&](const data::Sample& sample) { return unread.count(sample.image_path) > 0; });
}

store::IndexRow index_row_of(const data::Sample& sample) {
  store::IndexRow row;
  row.image_path = sample.image_path;
  row.label = sample.label_name;
  row.split = sample.split;
  row.slices = sample.slices;
  return row;
}

std::string plan_text(int64_t shard_rows, const data::Listing& listing, const finetune::Views& views,
                      const std::vector<int64_t>& items) {
  io::Xxh128 digest;
  for (const int64_t item : items) {
    store::IndexRow row = index_row_of(listing.samples[static_cast<size_t>(views.row_of(item))]);
    row.view = item;  // which says the place in the listing too: views are drawn by it
    digest.add(store::index_line(0, row));
  }
  return io::json_line(io::Json{{"shard_rows", shard_rows}, {"pictures", digest.hex()}});
}

std::vector<store::PictureFile> files_before(const std::vector<store::PictureFile>& files, int64_t generation) {
  std::vector<store::PictureFile> before;
  std::copy_if(files.begin(), files.end(), std::back_inserter(before),
               [&](const store::PictureFile& file) { return file.generation < generation; });
  return store::newest_files(before);
}

std::vector<io::FileFacts> facts_of(const data::Listing& listing, const std::vector<store::PictureFile>& files,
                                    const std::vector<int64_t>& to_read, int64_t generation) {
  std::unordered_map<std::string, const store::PictureFile*> known;
  for (const store::PictureFile& file : files) known[file.image_path] = &file;
  const auto line_of = [&](size_t row) {
    const auto found = known.find(listing.samples[row].image_path);
    return found == known.end() ? nullptr : found->second;
  };
  std::vector<io::FileFacts> facts(listing.samples.size());
  for (size_t row = 0; row < facts.size(); ++row) {
    if (const store::PictureFile* line = line_of(row)) facts[row] = line->facts;
  }
  for (const int64_t row : to_read) {
    const store::PictureFile* line = line_of(static_cast<size_t>(row));
    if (line != nullptr && line->generation < generation) facts[static_cast<size_t>(row)] = {};
  }
  return facts;
}

StoreFeeder::StoreFeeder(store::FeatureStoreWriter& writer, const data::Listing& listing, const finetune::Views& views,
                         const std::vector<io::FileFacts>& facts, model::Pool pool, const std::vector<int64_t>& items,
                         int64_t first)
    : writer_(writer),
      listing_(listing),
      views_(views),
      facts_(facts),
      pool_(pool),
      items_(items),
      next_(static_cast<size_t>(first)),
      done_(static_cast<size_t>(writer.done())) {}

void StoreFeeder::take_bad(const finetune::BadPicture& bad) { reasons_[bad.item] = bad.reason; }

void StoreFeeder::take(const std::vector<int64_t>& good, const std::vector<at::Tensor>& outputs) {
  std::vector<at::Tensor> pooled;
  for (const at::Tensor& output : outputs) pooled.push_back(model::pooled(output, pool_));
  std::vector<store::IndexRow> rows;
  std::vector<io::FileFacts> facts;
  const auto flush = [&](int64_t end) {  // of what was gathered, in the batch
    if (rows.empty()) return;
    const auto count = static_cast<int64_t>(rows.size());
    std::vector<at::Tensor> parts;
    for (const at::Tensor& tensor : pooled) parts.push_back(tensor.narrow(0, end - count, count));
    writer_.append(rows, facts, parts);
    rows.clear();
    facts.clear();
  };
  for (size_t i = 0; i < good.size(); ++i) {
    if (items_[next_] != good[i]) {
      flush(static_cast<int64_t>(i));
      skip_until(good[i]);
    }
    if (next_++ < done_) continue;
    rows.push_back(index_row(good[i]));
    facts.push_back(facts_[static_cast<size_t>(views_.row_of(good[i]))]);
  }
  flush(static_cast<int64_t>(good.size()));
}

void StoreFeeder::skip_until(int64_t item) {
  for (; next_ < items_.size() && items_[next_] != item; ++next_) {
    if (next_ < done_) continue;
    const auto row = static_cast<size_t>(views_.row_of(items_[next_]));
    writer_.skip(listing_.samples[row].image_path, reasons_.at(items_[next_]), facts_[row]);
    reasons_.erase(items_[next_]);
  }
}

void StoreFeeder::finish() { skip_until(-1); }

store::IndexRow StoreFeeder::index_row(int64_t item) const {
  store::IndexRow row = index_row_of(listing_.samples[static_cast<size_t>(views_.row_of(item))]);
  row.view = views_.listing_rows > 0 ? item / views_.listing_rows : 0;
  return row;
}

}  // namespace engraft::commands
