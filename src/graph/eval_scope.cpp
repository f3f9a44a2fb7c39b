#include "graph/eval_scope.h"

#include <ATen/ATen.h>

namespace engraft::graph {

using torch::jit::Module;

EvalScope::EvalScope(const Module& module) {
  for (const Module& part : module.modules()) {
    if (!part.hasattr("training")) continue;
    modes_.emplace_back(part, part.attr("training").toBool());
    part._ivalue()->setAttr("training", false);
  }
  for (const at::Tensor& buffer : module.buffers()) buffers_.emplace_back(buffer, buffer.clone());
}

EvalScope::~EvalScope() {
  for (const auto& [part, training] : modes_) part._ivalue()->setAttr("training", training);
  for (auto& [buffer, values] : buffers_) buffer.copy_(values);
}

}  // namespace engraft::graph
