#include "tensor/device.h"

#include <catch2/catch.hpp>

#include "base/errors.h"

using namespace engraft;

TEST_CASE("a device is named, found, or refused with what to do", "[unit]") {
  CHECK(tensor::device_from_text("cpu").is_cpu());
  CHECK_NOTHROW(tensor::device_from_text("auto"));
  for (const char* bad : {"gpu", "cuda:", "cuda:x", "cuda:-1", ""}) {
    CHECK_THROWS_WITH(tensor::device_from_text(bad), Catch::Contains("must be auto, cpu, cuda or cuda:N"));
  }
  CHECK_THROWS_AS(tensor::device_from_text("cuda:99"), UsageError);
}
