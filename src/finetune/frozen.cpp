#include "finetune/frozen.h"

#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::finetune {

io::Json frozen_json(const model::FrozenProof& proof, const model::FrozenProof::Verdict& verdict) {
  io::Json digests = io::Json::object();
  for (const auto& [block, digest] : proof.digests()) digests[block] = digest;
  return io::Json{
      {"blocks", verdict.blocks}, {"tensors", verdict.tensors}, {"moved", verdict.moved}, {"digests", digests}};
}

std::string frozen_text(const model::FrozenProof::Verdict& verdict) {
  if (verdict.tensors == 0 && verdict.holds()) return "frozen: nothing";
  const std::string counts =
      text::cat("frozen: ", text::count_of(verdict.blocks, "block"), ", ", text::count_of(verdict.tensors, "tensor"));
  return counts + (verdict.holds() ? ", bit-identical before and after" : ", MOVED: " + text::join(verdict.moved, " "));
}

void require_frozen(int64_t stage, const model::FrozenProof::Verdict& verdict) {
  if (verdict.holds()) return;
  throw Error(ExitCode::kInternal, text::cat("stage ", stage, ": frozen blocks moved: ", text::join(verdict.moved, " "),
                                             "; no model.pt is written"));
}

}  // namespace engraft::finetune
