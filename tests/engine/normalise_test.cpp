#include "engine/normalise.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "base/errors.h"

using namespace engraft;

TEST_CASE("a byte becomes (p / 255 - mean) / std in the order of its channel", "[unit]") {
  image::Preprocessing p;
  at::Tensor pixels = at::zeros({1, 1, 2, 3}, at::kByte);
  pixels[0][0][1][0] = 255;  // red
  pixels[0][0][1][2] = 51;   // blue
  const at::Tensor x = engine::Normaliser(p, at::kCPU)(pixels);
  CHECK(x.sizes() == at::IntArrayRef({1, 3, 1, 2}));
  CHECK(x.is_contiguous(at::MemoryFormat::ChannelsLast));
  const auto expected = [&](float byte, size_t c) {
    return (byte / 255.0f - static_cast<float>(p.mean[c])) / static_cast<float>(p.std[c]);
  };
  CHECK(x[0][0][0][1].item<float>() == expected(255, 0));
  CHECK(x[0][2][0][1].item<float>() == expected(51, 2));
  CHECK(x[0][1][0][0].item<float>() == expected(0, 1));

  p.channels = "bgr";
  const at::Tensor swapped = engine::Normaliser(p, at::kCPU)(pixels);
  CHECK(swapped[0][2][0][1].item<float>() == expected(255, 0));
  CHECK(swapped[0][0][0][1].item<float>() == expected(51, 2));
}

TEST_CASE("pixels of another shape or type are refused", "[unit]") {
  CHECK_THROWS_AS(engine::Normaliser({}, at::kCPU)(at::zeros({1, 3, 4, 4}, at::kByte)), ModelError);
  CHECK_THROWS_AS(engine::Normaliser({}, at::kCPU)(at::zeros({1, 4, 4, 3}, at::kFloat)), ModelError);
}
