#include <sys/wait.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/program.h"
#include "io/atomic_file.h"
#include "io/json.h"
#include "support/support.h"

using namespace engraft;
using test::engraft_in;
using test::example;
using test::must;
using test::Outcome;

namespace fs = std::filesystem;

namespace {

/// Every file of a store with its bytes.
std::map<std::string, std::string> bytes_in(const std::string& folder) {
  std::map<std::string, std::string> bytes;
  for (const auto& entry : fs::directory_iterator(folder))
    bytes[entry.path().filename().string()] = io::read_file(entry.path().string());
  return bytes;
}

const std::string kEmbed = "embed --backbone ex/tiny.pt --quiet --json ";

io::Json embedded(const std::string& folder, const std::string& arguments) {
  const Outcome outcome = engraft_in(folder, kEmbed + arguments);
  must(outcome);
  return io::parse_json(outcome.out, "stdout");
}

/// The example's pictures again, to be changed.
std::string copied_pictures(const std::string& name) {
  const std::string folder = example().path();
  fs::copy(folder + "/ex/pictures", folder + "/" + name, fs::copy_options::recursive);
  return folder + "/" + name;
}

/// The paths of the data set's pictures, sorted.
std::vector<std::string> pictures_in(const std::string& data) {
  std::vector<std::string> paths;
  for (const auto& entry : fs::recursive_directory_iterator(data)) {
    if (entry.is_regular_file()) paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace

TEST_CASE("embed writes a store of several taps, and inspect reads it", "[cli]") {
  const std::string folder = example().path();
  const std::string arguments = "--data ex/pictures --out feats --tap stem,mixed_2";
  CHECK(embedded(folder, arguments)["rows"] == 72);
  CHECK(fs::exists(folder + "/feats/features.stem-00000.npy"));
  CHECK(engraft_in(folder, "inspect feats").out.find("tap mixed_2: [96] a row") != std::string::npos);
  CHECK(engraft_in(folder, kEmbed + arguments).code == 2);
  CHECK(engraft_in(folder, kEmbed + arguments + " --append --resume").code == 2);
  CHECK(engraft_in(folder, kEmbed + arguments + " --verify").code == 2);
  CHECK(embedded(folder, arguments + " --resume")["added"] == 0);  // it is finished
}

TEST_CASE("embed that is killed again and again ends in the same bytes", "[cli]") {
  const std::string folder = example().path();
  const std::string arguments = "--data ex/pictures --shard-rows 7 --batch 5 --augment standard --views 3 --out ";
  const io::Json whole = embedded(folder, arguments + "whole");
  CHECK(whole["rows"] == 3 * 48 + 24);
  int killed = 0;
  for (int kill = 0; kill < 12; ++kill) {
    // From before the first picture to about the end of the run.
    const std::string delay = text::fixed(0.1 + 0.05 * kill, 2);
    const std::string command =
        text::cat("cd '", folder, "'; '", ENGRAFT_PROGRAM, "' ", kEmbed, arguments,
                  "killed --resume >.out 2>.err & sleep ", delay, "; kill -KILL $! 2>.err; wait $! 2>.err");
    killed += WEXITSTATUS(std::system(command.c_str())) == 137;
  }
  CHECK(killed > 0);
  embedded(folder, arguments + "killed --resume");
  CHECK(bytes_in(folder + "/killed") == bytes_in(folder + "/whole"));
}

TEST_CASE("embed --append adds what is new and what changed, and nothing where nothing is", "[cli]") {
  const std::string folder = example().path();
  const std::string data = copied_pictures("growing");
  const std::vector<std::string> pictures = pictures_in(data);
  const std::string arguments = "--data growing --out grown --append";
  CHECK(embedded(folder, arguments)["rows"] == 72);  // it begins the store
  const auto before = bytes_in(folder + "/grown");
  CHECK(embedded(folder, arguments)["added"] == 0);
  fs::last_write_time(pictures[3], fs::last_write_time(pictures[3]) + std::chrono::seconds(5));
  CHECK(embedded(folder, arguments)["added"] == 0);  // the content is the same
  CHECK(bytes_in(folder + "/grown") == before);

  fs::copy_file(pictures[0], fs::path(pictures[0]).replace_filename("zz-new.png"));
  fs::copy_file(pictures[5], pictures[3], fs::copy_options::overwrite_existing);
  const io::Json grown = embedded(folder, arguments);
  CHECK(grown["added"] == 2);
  CHECK(grown["rows"] == 74);
  CHECK(grown["generation"] == 1);
  CHECK(io::read_file(folder + "/grown/features-00000.npy") == before.at("features-00000.npy"));
  CHECK(engraft_in(folder, "inspect grown").out.find("1 row of pictures that changed since") != std::string::npos);

  // Of one size and time: only its content tells.
  const auto time = fs::last_write_time(pictures[7]);
  std::string bytes = io::read_file(pictures[7]);
  bytes.back() ^= 1;
  test::put_file(pictures[7], bytes);
  fs::last_write_time(pictures[7], time);
  CHECK(embedded(folder, arguments)["added"] == 0);
  CHECK(embedded(folder, arguments + " --verify")["generation"] == 2);
  CHECK(engraft_in(folder, kEmbed + arguments + " --pool max").err.find("was begun with another pool") !=
        std::string::npos);
}

TEST_CASE("a store that begins with a few pictures runs in small batches for good", "[cli]") {
  const std::string folder = example().path();
  const std::string first = pictures_in(folder + "/ex/pictures").front();
  test::put_file(folder + "/one.txt", first + "\n");
  const auto embed_list = [&](const std::string& list, const std::string& more) {
    must(engraft_in(folder, kEmbed + "--data - " + more + " <" + list));
    const std::string out = more.substr(more.rfind(' ') + 1);
    return io::read_json(folder + "/" + out + "/store.json");
  };
  CHECK(embed_list("one.txt", "--out few")["computed"]["batch"] == 4);
  CHECK(embed_list("one.txt", "--batch 7 --out sevens")["computed"]["batch"] == 7);
  CHECK(embed_list("one.txt", "--append --out awaited")["computed"]["batch"] == 32);  // more is to come
  std::string all;
  for (const std::string& path : pictures_in(folder + "/ex/pictures")) all += path + "\n";
  test::put_file(folder + "/all.txt", all);
  const io::Json grown = embed_list("all.txt", "--append --out few");
  CHECK(grown["computed"]["batch"] == 4);
  CHECK(grown["rows"] == 72);
}

TEST_CASE("a picture that cannot be read is told each time and tried anew once it can be", "[cli]") {
  const std::string folder = example().path();
  const std::vector<std::string> pictures = pictures_in(folder + "/ex/pictures");
  test::put_file(folder + "/some.csv", "image_path\n" + pictures[0] + "\n" + folder + "/late.png\n");
  const std::string arguments = "--data some.csv --out some --append --max-bad 1";
  for (int64_t time = 0; time < 2; ++time) {
    const io::Json record = embedded(folder, arguments);
    CHECK(record["rows"] == 1);
    CHECK(record["skipped"] == 1);
    CHECK(record["generation"] == 0);
    CHECK(engraft_in(folder, kEmbed + arguments + " --max-bad 0").code == 5);
  }
  fs::copy_file(pictures[1], folder + "/late.png");
  CHECK(embedded(folder, arguments)["rows"] == 2);
  CHECK(!fs::exists(folder + "/some/skipped.csv"));
}

TEST_CASE("embed reads .tar archives and a list on stdin as it reads folders", "[cli]") {
  const std::string folder = example().path();
  const std::vector<std::string> pictures = pictures_in(folder + "/ex/pictures");
  std::string list, members;
  for (const std::string& picture : pictures) {
    const std::string member = fs::relative(picture, folder + "/ex/pictures").string();
    list += picture + "\n";
    members += " '" + member + "'";
  }
  test::put_file(folder + "/list.txt", list);
  fs::create_directories(folder + "/shards");
  REQUIRE(std::system(("tar -C '" + folder + "/ex/pictures' -cf '" + folder + "/shards/all.tar'" + members).c_str()) ==
          0);
  embedded(folder, "--data ex/pictures --out of-folder");
  const std::string expected = io::read_file(folder + "/of-folder/features-00000.npy");
  CHECK(embedded(folder, "--data - --out of-list <list.txt")["rows"] == 72);
  CHECK(io::read_file(folder + "/of-list/features-00000.npy") == expected);
  CHECK(embedded(folder, "--data shards --out of-tar --append")["rows"] == 72);
  CHECK(io::read_file(folder + "/of-tar/features-00000.npy") == expected);
  CHECK(io::read_file(folder + "/of-tar/index.csv").find("all.tar/train/") != std::string::npos);
  CHECK(embedded(folder, "--data shards --out of-tar --append")["added"] == 0);
  fs::last_write_time(folder + "/shards/all.tar", fs::file_time_type::clock::now());
  CHECK(embedded(folder, "--data shards/all.tar --out of-tar --append")["added"] == 0);  // the bytes are the same
  const Outcome predicted = engraft_in(folder, "predict --model run/model.pt --quiet shards/all.tar");
  must(predicted);
  CHECK(predicted.out.find("shards/all.tar/train/") != std::string::npos);
}
