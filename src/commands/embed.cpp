#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "base/stop.h"
#include "base/text.h"
#include "commands/commands.h"
#include "commands/embed_network.h"
#include "commands/embed_rows.h"
#include "data/digest.h"
#include "finetune/engine_choice.h"
#include "finetune/forward_pass.h"
#include "finetune/precision.h"
#include "model/backbone.h"
#include "model/compose.h"
#include "options/schema.h"
#include "store/feature_files.h"
#include "store/feature_index.h"
#include "store/feature_store.h"
#include "store/folder_lock.h"
#include "store/out_folder.h"
#include "tensor/device.h"

namespace engraft::commands {

namespace {

store::StoreMode mode_of(const EmbedOptions& options) {
  if (options.resume && options.append)
    throw UsageError("--resume goes on with a store, --append adds to one; give one of them");
  if (options.verify && !options.append && !options.resume) throw UsageError("--verify belongs to --append");
  if (options.resume) return store::StoreMode::kResume;
  return options.append ? store::StoreMode::kAppend : store::StoreMode::kNew;
}

/// The options that decide what rows hold, as given.
io::Json given_json(const EmbedOptions& options) {
  EmbedOptions recorded = options;
  options::Schema schema;
  describe(schema, recorded);
  io::Json given = schema.record();
  for (const char* other :
       {"backbone", "data", "out", "shard_rows", "trust", "threads", "device", "batch", "val_fraction"})
    given.erase(other);
  return given;
}

/// Whether labels, splits and slices of all rows that hold are the listing's.
bool has_labels_of(const data::Listing& listing, const store::FeatureStoreReader& reader) {
  std::unordered_multimap<std::string, const data::Sample*> samples;
  for (const data::Sample& sample : listing.samples) samples.emplace(sample.image_path, &sample);
  const auto is_as_listed = [&](const store::IndexRow& row) {
    const auto [begin, end] = samples.equal_range(row.image_path);
    return begin == end || std::any_of(begin, end, [&](const auto& named) {
             const data::Sample& now = *named.second;
             return now.label_name == row.label && now.split == row.split && now.slices == row.slices;
           });
  };
  return reader.slice_names() == listing.slice_names &&
         std::all_of(reader.index().begin(), reader.index().end(), is_as_listed);
}

/// A picture that is there is told by its path.
void require_unique_paths(const data::Listing& listing) {
  std::unordered_set<std::string> paths;
  for (const data::Sample& sample : listing.samples) {
    if (!paths.insert(sample.image_path).second)
      throw DataError(sample.image_path + ": is listed twice; --append tells pictures by their paths");
  }
}

/// What is said at the end.
struct Outcome {
  int64_t rows = 0, added = 0, skipped = 0, generation = 0;
  std::vector<std::string> taps;
  double seconds = 0, seconds_of_pass = 0;  // of the pass over the pictures, writing included
};

void tell_outcome(const EmbedOptions& options, const Outcome& outcome, Session& session) {
  if (options.common.json) {
    session.out << io::json_line(io::Json{{"out", options.out},
                                          {"rows", outcome.rows},
                                          {"added", outcome.added},
                                          {"skipped", outcome.skipped},
                                          {"generation", outcome.generation},
                                          {"taps", outcome.taps},
                                          {"seconds", outcome.seconds},
                                          {"seconds_of_pass", outcome.seconds_of_pass}})
                << "\n";
    return;
  }
  session.out << options.out << ": " << text::count_of(outcome.rows, "row") << " from "
              << text::join(outcome.taps, ", ");
  if (options.append) session.out << (outcome.added == 0 ? ", nothing new" : text::cat(", ", outcome.added, " new"));
  if (outcome.skipped > 0) session.out << ", " << outcome.skipped << " skipped (skipped.csv)";
  session.out << ", " << text::duration(outcome.seconds) << "\n";
}

/// Where the folder holds a finished store that lacks nothing: what it is, without a look at the network.
std::optional<Outcome> up_to_date(const EmbedOptions& options, const data::Listing& listing) {
  const auto has = [&](const char* name) { return std::filesystem::exists(options.out + "/" + name); };
  if (!has(kStoreFile) || has(kUnfinishedFile)) return std::nullopt;
  store::remove_leftovers(options.out);
  const store::FeatureStoreReader reader(options.out);
  const io::Json& meta = reader.meta();
  if (meta.value("given", io::Json()) != given_json(options)) return std::nullopt;
  if (meta["computed"].value("backbone_sha256", "") != model::backbone_sha256(options.backbone)) return std::nullopt;
  if (!has_labels_of(listing, reader)) return std::nullopt;
  const auto known = store::newest_files(reader.files());
  if (!missing_of(listing, known, options.verify).rows.empty()) return std::nullopt;
  Outcome outcome;
  outcome.rows = reader.rows();
  outcome.skipped = count_unread(listing, known);
  outcome.generation = reader.generations() - 1;
  for (const store::TapShape& tap : reader.taps()) outcome.taps.push_back(tap.tap);
  return outcome;
}

void tell_missing(const Missing& missing, const store::FeatureStoreWriter& writer, int64_t items, Reporter& reporter) {
  if (writer.generation() > 0)
    reporter.note(text::cat("new: ", text::count_of(missing.added, "picture"), ", changed: ", missing.changed,
                            missing.gone > 0 ? text::cat(", in the store and not in the data: ", missing.gone) : ""));
  if (writer.done() > 0) reporter.note(text::cat("resumed: ", writer.done(), " of ", items, " are done"));
}

void tell_bad(const std::vector<finetune::BadPicture>& bad, Reporter& reporter) {
  for (size_t i = 0; i < bad.size(); ++i) {  // the views of one picture are beside each other
    if (i == 0 || bad[i].row != bad[i - 1].row) reporter.warn(bad[i].image_path + ": " + bad[i].reason);
  }
}

/// Reads what `missing` names and adds it to the store. A resumed pass begins with the batch in which the last whole
/// shard ends, so that its batches are the same.
void add_missing(const EmbedOptions& options, const data::Listing& listing, const Missing& missing,
                 const finetune::Views& views, engine::Engine& engine, store::FeatureStoreWriter& writer,
                 std::vector<io::FileFacts>& facts, Reporter& reporter) {
  const std::vector<int64_t> items = items_to_store(listing, missing.rows, views);
  writer.set_plan(plan_text(options.shard_rows, listing, views, items));
  tell_missing(missing, writer, static_cast<int64_t>(items.size()), reporter);
  const int64_t batch = engine.options().batch_size, first = writer.done() / batch * batch;
  StoreFeeder feeder(writer, listing, views, facts, model::pool_from_text(options.pool), items, first);
  finetune::PassOptions pass{options.compute.loader_threads, "embedding", views, &facts, {}};
  pass.on_bad = [&](const finetune::BadPicture& bad) { feeder.take_bad(bad); };
  const auto take = [&](const std::vector<int64_t>& good, const std::vector<at::Tensor>& outputs) {
    feeder.take(good, outputs);
  };
  try {
    tell_bad(finetune::forward_pass(listing, {items.begin() + first, items.end()}, engine, pass, take, reporter),
             reporter);
  } catch (const Stopped& stopped) {
    throw Stopped(stopped.code(),
                  std::string(stopped.what()) + "; the same command with --resume goes on behind the last whole shard");
  }
  feeder.finish();
}

/// Pictures that are in the store under other labels by now.
void relabel(store::FeatureStoreWriter& writer, const data::Listing& listing) {
  std::vector<store::IndexRow> current;
  for (const data::Sample& sample : listing.samples) current.push_back(index_row_of(sample));
  writer.relabel(current);
}

store::FeatureStoreOptions store_options_of(const EmbedOptions& options, const data::Listing& listing,
                                            const Network& network, const finetune::Views& views) {
  store::FeatureStoreOptions out;
  out.folder = options.out;
  out.shard_rows = options.shard_rows;
  out.type = store::feature_type_from_text(options.dtype);
  out.taps = network.shapes;
  out.slice_names = listing.slice_names;
  out.has_views = views.count > 1;
  return out;
}

ExitCode finished(const EmbedOptions& options, const Outcome& outcome, Session& session) {
  tell_outcome(options, outcome, session);
  return outcome.skipped > options.max_bad ? ExitCode::kTooManyBad : ExitCode::kDone;
}

}  // namespace

ExitCode run(const EmbedOptions& options, Session& session) {
  const Stopwatch watch;
  const store::StoreMode mode = mode_of(options);
  finetune::require_int8_engine(options.compute);
  if (mode == store::StoreMode::kNew) store::require_free_folder(options.out);
  const c10::Device device = tensor::device_from_text(options.compute.device);
  tensor::set_compute_threads(options.compute.threads);
  data::ListingOptions any;
  any.val_fraction = options.val_fraction;
  any.labels_required = false;
  const data::Listing listing = data::list_data(options.data.data, any);
  data::tell(listing, session.reporter);
  if (mode == store::StoreMode::kAppend) require_unique_paths(listing);
  const finetune::Views views = finetune::make_views(options.augment, options.views, finetune::kUsualViews,
                                                     options.seed, static_cast<int64_t>(listing.samples.size()));
  const store::FolderLock lock(options.out);
  if (mode != store::StoreMode::kNew) {
    if (auto outcome = up_to_date(options, listing)) {
      outcome->seconds = watch.seconds();
      return finished(options, *outcome, session);
    }
  }
  const Network network = load_network(options, model::pool_from_text(options.pool), session.reporter);
  const ChosenEngine chosen = choose(options, listing, network, views, device, session.reporter);
  store::FeatureStoreWriter writer(store_options_of(options, listing, network, views),
                                   computed_text(options, listing, network, chosen, views), mode);
  const int64_t rows_before = writer.rows();
  const std::vector<store::PictureFile> files = writer.files();
  const Missing missing = missing_of(listing, files_before(files, writer.generation()), options.verify);
  std::vector<io::FileFacts> facts = facts_of(listing, files, missing.rows, writer.generation());
  const Stopwatch pass_watch;
  add_missing(options, listing, missing, views, *chosen.engine, writer, facts, session.reporter);
  const double seconds_of_pass = pass_watch.seconds();
  if (writer.rows() == 0) throw DataError(options.data.data + ": none of the pictures can be read");
  if (writer.generation() > 0) relabel(writer, listing);
  io::Json engine_record = finetune::to_json(chosen.engine->report());
  finetune::add_to(engine_record, chosen.precision);
  const int64_t skipped = count_unread(listing, store::newest_files(writer.files()));
  writer.finish(io::Json{{"given", given_json(options)},
                         {"engine", engine_record},
                         {"data", {{"digest", data::data_digest(listing, facts)}, {"classes", listing.classes}}}});
  const Outcome outcome{
      writer.rows(),  writer.rows() - rows_before, skipped, writer.generation(), network.taps, watch.seconds(),
      seconds_of_pass};
  return finished(options, outcome, session);
}

}  // namespace engraft::commands
