#include "io/digest.h"

#include <catch2/catch.hpp>

#include "io/atomic_file.h"
#include "support/support.h"

using namespace engraft;

// Values of FIPS 180 (the "abc" example) and of xxhsum 0.8.
TEST_CASE("digests agree with their published examples", "[unit]") {
  CHECK(io::sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(io::sha1("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d");
  io::Xxh128 empty;
  CHECK(empty.hex() == "99aa06d3014798d86001c324468d497f");
}

TEST_CASE("a digest does not depend on the pieces it is fed in", "[unit]") {
  test::TempFolder folder;
  const std::string bytes(3 * 1024 * 1024 + 5, 'x');
  io::write_file(folder / "f", bytes);
  CHECK(io::sha256_of_file(folder / "f") == io::sha256(bytes));
  io::Xxh128 whole, pieces;
  whole.add(bytes);
  pieces.add(bytes.substr(0, 1000));
  pieces.add(bytes.substr(1000));
  CHECK(whole.hex() == pieces.hex());
}
