#include "tensor/device.h"

#include <catch2/catch.hpp>
#include <cstdlib>

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

TEST_CASE("the platform names the processor, and what the environment says of kernels", "[unit]") {
  ::unsetenv("MKL_CBWR");
  const std::string plain = tensor::platform_text();
  CHECK_THAT(plain, Catch::Contains(", LibTorch "));
  CHECK_THAT(plain, Catch::Contains(" (") && !Catch::Contains("unnamed"));
  ::setenv("MKL_CBWR", "COMPATIBLE", 1);
  CHECK(tensor::platform_text() == plain + ", MKL_CBWR=COMPATIBLE");
  ::unsetenv("MKL_CBWR");
}
