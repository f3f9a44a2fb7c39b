#include "tensor/named.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>

#include "base/errors.h"

using namespace engraft;
using tensor::NamedTensor;

TEST_CASE("a digest sees names, shapes and every bit, not the memory format", "[unit]") {
  const at::Tensor t = at::arange(48, at::kFloat).view({2, 2, 3, 4});
  const std::string base = tensor::digest({{"w", t}});
  CHECK(tensor::digest({{"w", t.contiguous(at::MemoryFormat::ChannelsLast)}}) == base);
  CHECK(tensor::digest({{"v", t}}) != base);
  CHECK(tensor::digest({{"w", t.view({4, 12})}}) != base);
  at::Tensor nudged = t.clone();
  nudged.view({-1})[47] = std::nextafter(47.0f, 48.0f);
  CHECK(tensor::digest({{"w", nudged}}) != base);
}

TEST_CASE("a snapshot restores what changed", "[unit]") {
  const std::vector<NamedTensor> live = {{"w", at::ones({2, 3}).requires_grad_()}, {"b", at::zeros({3})}};
  const auto saved = tensor::snapshot(live);
  {
    c10::NoGradGuard guard;
    at::Tensor(live[0].value).add_(5);
  }
  CHECK(live[0].value.sum().item<float>() == 36);
  tensor::restore(saved, live);
  CHECK(live[0].value.sum().item<float>() == 6);
  CHECK_THROWS_WITH(tensor::restore({saved[0]}, live), "no tensor 'b' to restore from");
  CHECK_THROWS_WITH(tensor::restore({saved[0], {"b", at::zeros({4})}}, live), "tensor 'b' is [4], expected [3]");
}

TEST_CASE("the relative difference is against the largest value", "[unit]") {
  CHECK(tensor::relative_difference(at::tensor({1.0, 2.0}), at::tensor({1.0, 4.0})) == 0.5);
  CHECK(tensor::relative_difference(at::zeros({2}), at::zeros({2})) == 0);
  CHECK_THROWS_AS(tensor::relative_difference(at::zeros({2}), at::zeros({3})), ModelError);
}
