#include "io/digest.h"

#include <catch2/catch.hpp>

#include "io/atomic_file.h"
#include "io/file_facts.h"
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

TEST_CASE("a digest of 128 bits goes to hex and back", "[unit]") {
  io::Xxh128 digest;
  digest.add("abc");
  CHECK(io::to_hex(digest.value()) == digest.hex());
  CHECK(io::digest_from_hex(digest.hex()) == digest.value());
  CHECK(io::digest_of("abc") == digest.value());
  const std::string hex = digest.hex();
  for (const std::string& bad : {std::string(), hex.substr(1), hex + "0", "g" + hex.substr(1), "-" + hex.substr(1)})
    CHECK_FALSE(io::digest_from_hex(bad));
}

TEST_CASE("a file is told by its size and time", "[unit]") {
  test::TempFolder folder;
  test::put_file(folder / "a", "12345");
  const io::FileFacts facts = io::look_at_file(folder / "a");
  CHECK(facts.bytes == 5);
  CHECK(facts.modified_ns > 1'600'000'000'000'000'000);
  CHECK(facts.looks_like(io::look_at_file(folder / "a")));
  test::put_file(folder / "a", "123456");
  CHECK_FALSE(facts.looks_like(io::look_at_file(folder / "a")));
  CHECK(io::look_at_file(folder / "none").bytes == -1);
  CHECK_FALSE(io::look_at_file(folder / "none").looks_like(io::look_at_file(folder / "none")));
}
