#include "finetune/judge.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "io/csv.h"

namespace engraft::finetune {

Judged judge(const model::Artifact& model, const data::Listing& listing, const std::vector<int64_t>& rows,
             const engine::EngineOptions& engine_options, const PassOptions& pass, Reporter& reporter) {
  const auto engine = engine::make_torch_engine(model.module, "forward", engine_options);
  Judged out;
  out.bad = forward_pass(
      listing, rows, *engine, pass,
      [&](const std::vector<int64_t>& good, const std::vector<at::Tensor>& outputs) {
        const at::Tensor logits = outputs.front().to(at::kCPU, at::kFloat).contiguous();  // [B, K]
        out.width = logits.size(1);
        out.rows.insert(out.rows.end(), good.begin(), good.end());
        const float* values = logits.const_data_ptr<float>();
        out.logits.insert(out.logits.end(), values, values + logits.numel());
      },
      reporter);
  return out;
}

stats::Classification classify(const data::Listing& listing, const Judged& judged) {
  std::vector<int64_t> labels;
  labels.reserve(judged.rows.size());
  for (const int64_t row : judged.rows) labels.push_back(listing.samples[static_cast<size_t>(row)].label);
  return stats::classify(judged.logits, std::max<int64_t>(judged.width, 1), labels);
}

io::Json to_json(const stats::Classification& result) {
  io::Json out = {{"rows", result.rows}, {"top1", result.top1}};
  if (result.top5) out["top5"] = *result.top5;
  out["loss"] = result.loss;
  return out;
}

std::string predictions_csv(const data::Listing& listing, const Judged& judged,
                            const std::vector<std::string>& classes) {
  std::string out = io::csv_line({"image_path", "label", "score", "true_label"});
  for (size_t i = 0; i < judged.rows.size(); ++i) {
    const data::Sample& sample = listing.samples[static_cast<size_t>(judged.rows[i])];
    const std::vector<double> scores =
        stats::scores_of(judged.logits.data() + static_cast<int64_t>(i) * judged.width, judged.width);
    const size_t best = static_cast<size_t>(stats::ranked(scores, 1).front());
    out += io::csv_line({sample.image_path, classes[best], text::fixed(scores[best], 6), sample.label_name});
  }
  return out;
}

std::string skipped_csv(const std::vector<BadPicture>& bad) {
  std::string out = io::csv_line({"image_path", "reason"});
  for (const BadPicture& picture : bad) out += io::csv_line({picture.image_path, picture.reason});
  return out;
}

}  // namespace engraft::finetune
