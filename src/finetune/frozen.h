#pragma once

#include <string>

#include "io/json.h"
#include "model/freeze.h"

namespace engraft::finetune {

/// {"blocks", "tensors", "moved", "digests": {block: xxh3-128}} for result.json.
io::Json frozen_json(const model::FrozenProof& proof, const model::FrozenProof::Verdict& verdict);

/// "frozen: 17 blocks, 94 tensors, bit-identical" or what moved.
std::string frozen_text(const model::FrozenProof::Verdict& verdict);

/// Throws Error with ExitCode::kInternal, naming the blocks, when the proof does not hold.
void require_frozen(int64_t stage, const model::FrozenProof::Verdict& verdict);

}  // namespace engraft::finetune
