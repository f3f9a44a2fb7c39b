#include "tensor/precision.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <stdexcept>

#include "base/errors.h"

using namespace engraft;
using tensor::AutocastGuard;
using tensor::Precision;

namespace {

const c10::Device kCpu(c10::kCPU);

at::ScalarType type_of_product(const at::Tensor& a) { return at::mm(a, a).scalar_type(); }

}  // namespace

TEST_CASE("products are bf16 while a guard of bf16 lives, and float32 before, after and under one of float32",
          "[unit]") {
  const at::Tensor a = at::ones({2, 2});
  {
    const AutocastGuard none(Precision::kFloat32, kCpu);
    CHECK(type_of_product(a) == at::kFloat);
  }
  {
    const AutocastGuard outer(Precision::kBfloat16, kCpu);
    { const AutocastGuard inner(Precision::kBfloat16, kCpu); }
    CHECK(type_of_product(a) == at::kBFloat16);
  }
  CHECK(type_of_product(a) == at::kFloat);
  const auto fail = [&] {
    const AutocastGuard guard(Precision::kBfloat16, kCpu);
    throw std::runtime_error("out");
  };
  CHECK_THROWS(fail());
  CHECK(type_of_product(a) == at::kFloat);
}

TEST_CASE("a weight that changed between two guards is cast anew, and its gradient is float32", "[unit]") {
  at::Tensor weight = at::ones({2, 2}).requires_grad_();
  const auto product = [&] {
    const AutocastGuard guard(Precision::kBfloat16, kCpu);
    return at::mm(at::ones({2, 2}), weight);
  };
  const at::Tensor before = product();
  CHECK(before.sum().item<float>() == 8);
  before.to(at::kFloat).sum().backward();
  CHECK(weight.grad().scalar_type() == at::kFloat);
  CHECK(weight.grad().sum().item<float>() == 8);
  {
    const at::NoGradGuard no_grad;
    weight.mul_(2);
  }
  CHECK(product().sum().item<float>() == 16);
}

TEST_CASE("a precision is named, or left to what the device has", "[unit]") {
  CHECK(tensor::precision_from_text("f32", kCpu) == Precision::kFloat32);
  CHECK(tensor::precision_from_text("bf16", kCpu) == Precision::kBfloat16);
  CHECK(tensor::precision_from_text("int8", kCpu) == Precision::kInt8);
  const bool has_unit = !tensor::bf16_unit(kCpu).empty();
  CHECK((tensor::precision_from_text("auto", kCpu) == Precision::kBfloat16) == has_unit);
  CHECK_THROWS_WITH(tensor::precision_from_text("fp16", kCpu),
                    "--precision: must be auto, f32, bf16 or int8, not 'fp16'");
  CHECK(tensor::to_text(Precision::kBfloat16) == "bf16");
  CHECK(tensor::to_text(Precision::kFloat32) == "f32");
}
