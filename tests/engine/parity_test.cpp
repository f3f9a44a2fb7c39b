#include "engine/parity.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "base/errors.h"
#include "engine/engine.h"

using namespace engraft;

TEST_CASE("the pictures are the same every time, differ, and use most of the range", "[unit]") {
  const std::vector<uint8_t> two = engine::parity_pictures(40);
  REQUIRE(two.size() == 2 * 40 * 40 * 3);
  CHECK(two == engine::parity_pictures(40));
  CHECK_FALSE(std::equal(two.begin(), two.begin() + two.size() / 2, two.begin() + two.size() / 2));
  CHECK(*std::max_element(two.begin(), two.end()) - *std::min_element(two.begin(), two.end()) > 150);
}

TEST_CASE("the error is that of the worst row, and no number is infinitely wrong", "[unit]") {
  const at::Tensor reference = at::ones({2, 4});
  at::Tensor output = reference.clone();
  CHECK(engine::relative_error({output}, {reference}) == 0);
  output[1] += 0.5;
  CHECK(engine::relative_error({output}, {reference}) == Approx(0.5));
  CHECK(engine::relative_error({reference, output}, {reference, reference}) == Approx(0.5));
  output[0][2] = std::nan("");
  CHECK(std::isinf(engine::relative_error({output}, {reference})));
  CHECK_THROWS_AS(engine::relative_error({output}, {at::ones({2, 5})}), ModelError);
  CHECK_THROWS_AS(engine::relative_error({output}, {}), ModelError);
}

TEST_CASE("engines have names in text", "[unit]") {
  for (const char* name : {"auto", "torch", "openvino"})
    CHECK(engine::to_text(engine::engine_kind_from_text(name)) == name);
  CHECK_THROWS_WITH(engine::engine_kind_from_text("onnx"), Catch::Contains("auto, torch or openvino, not 'onnx'"));
}
