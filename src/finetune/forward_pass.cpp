#include "finetune/forward_pass.h"

#include <ATen/ATen.h>
#include <unistd.h>

#include <algorithm>

#include "base/errors.h"
#include "base/stop.h"
#include "base/text.h"
#include "finetune/picture_loader.h"

namespace engraft::finetune {

int64_t batch_shape(int64_t wanted, const data::Listing& listing, const image::Preprocessing& preprocessing) {
  const int64_t batch = std::min(wanted, std::max(static_cast<int64_t>(listing.samples.size()), data::kDefaultBatch));
  constexpr double kBytesPerValue = 3 * sizeof(uint8_t) + sizeof(float);
  const double needed = static_cast<double>(batch) * preprocessing.size_px * preprocessing.size_px * 3 * kBytesPerValue;
  const double memory = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  if (needed > memory) {
    throw UsageError(text::cat("--batch ", wanted, ": ", batch, " pictures of ", preprocessing.size_px, " px take ",
                               text::bytes(needed), " before any network runs, this machine has ", text::bytes(memory),
                               "; give a smaller --batch"));
  }
  return batch;
}

void require_readable(const std::vector<BadPicture>& bad) {
  if (bad.empty()) return;
  throw DataError(bad.front().image_path +
                  ": was readable at the start of the run and is not any more: " + bad.front().reason);
}

GoodRows good_rows(const data::Batch& batch) {
  GoodRows good;
  size_t next_bad = 0;
  for (size_t i = 0; i < batch.rows.size(); ++i) {
    if (next_bad < batch.bad.size() && batch.bad[next_bad].row == batch.rows[i]) {
      ++next_bad;
      continue;
    }
    good.positions.push_back(static_cast<int64_t>(i));
    good.rows.push_back(batch.rows[i]);
  }
  return good;
}

at::Tensor select_rows(const at::Tensor& output, const std::vector<int64_t>& positions) {
  const int64_t count = static_cast<int64_t>(positions.size());
  if (count == 0 || positions.back() == count - 1) return output.narrow(0, 0, count);  // nothing missing in between
  return output.index_select(0, at::tensor(positions, at::kLong).to(output.device()));
}

namespace {

/// Goes over the batches of `items`; `use` gets those with at least one readable picture.
template <class Use>
std::vector<BadPicture> each_batch(const data::Listing& listing, const std::vector<int64_t>& items,
                                   const engine::EngineOptions& shape, const PassOptions& options, Reporter& reporter,
                                   const Use& use) {
  data::Loader loader(items, picture_loader(listing, shape.preprocessing, options.views, options.facts),
                      picture_loader_options(shape.preprocessing, shape.batch_size, options.loader_threads));
  std::vector<BadPicture> bad;
  int64_t done = 0;
  const Stopwatch watch;
  while (const data::Batch* batch = loader.next()) {
    throw_if_stopped(options.what.c_str());
    for (const data::BadSample& sample : batch->bad) {
      const int64_t row = options.views.row_of(sample.row);
      bad.push_back({row, listing.samples[static_cast<size_t>(row)].image_path, sample.reason, sample.row});
      if (options.on_bad) options.on_bad(bad.back());
    }
    const GoodRows good = good_rows(*batch);
    if (!good.rows.empty()) use(*batch, good);
    done += static_cast<int64_t>(batch->rows.size());
    reporter.progress(options.what, done, static_cast<int64_t>(items.size()),
                      text::fixed(static_cast<double>(done) / watch.seconds(), 1) + " pictures/s");
  }
  return bad;
}

}  // namespace

std::vector<BadPicture> forward_pass(const data::Listing& listing, const std::vector<int64_t>& items,
                                     engine::Engine& engine, const PassOptions& options, const PassConsumer& consume,
                                     Reporter& reporter) {
  return each_batch(listing, items, engine.options(), options, reporter,
                    [&](const data::Batch& batch, const GoodRows& good) {
                      std::vector<at::Tensor> outputs = engine.run(batch.data);
                      for (at::Tensor& output : outputs) output = select_rows(output, good.positions);
                      consume(good.rows, outputs);
                    });
}

std::vector<BadPicture> check_pictures(const data::Listing& listing, const std::vector<int64_t>& rows,
                                       const engine::EngineOptions& shape, const PassOptions& options,
                                       Reporter& reporter) {
  return each_batch(listing, rows, shape, options, reporter, [](const data::Batch&, const GoodRows&) {});
}

}  // namespace engraft::finetune
