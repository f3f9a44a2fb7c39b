#include "graph/audit.h"

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <sstream>

#include "base/errors.h"
#include "graph/audit_names.h"
#include "graph/nets.h"
#include "support/support.h"

using namespace engraft;

namespace {

/// An archive with this code, as far as an audit looks.
void put_archive(const std::string& path, const std::string& code, const std::string& pickle = "x") {
  caffe2::serialize::PyTorchStreamWriter writer(path);
  writer.writeRecord("data.pkl", pickle.data(), pickle.size());
  writer.writeRecord("constants.pkl", "x", 1);
  writer.writeRecord("code/__torch__.py", code.data(), code.size());
  writer.writeEndOfFile();
}

std::string in_forward(const std::string& line) {
  return "class Net(Module):\n  __parameters__ = []\n  __buffers__ = []\n  training : bool\n  def forward(self: "
         "__torch__.Net,\n    x: Tensor) -> Tensor:\n    " +
         line + "\n    return x\ndef helper(x: Tensor) -> Tensor:\n  return x\n";
}

std::string found(const std::vector<graph::Finding>& findings) {
  std::ostringstream out;
  for (const auto& finding : findings) out << finding.record << ":" << finding.line << ": " << finding.what << "; ";
  return out.str();
}

}  // namespace

TEST_CASE("every planted line is found, and plain code is not", "[unit]") {
  struct Row {
    std::string line, what;  // "" for nothing
  };
  const std::vector<Row> rows = {
      {"y = torch.relu(torch.add(x, x, alpha=2))", ""},
      {"y = ops.prim.NumToTensor(torch.size(x, 0))", ""},
      {"y = annotate(List[int], [int(torch.size(x, 0))])", ""},
      {"y = (self.conv).forward(x, )", ""},
      {"y = (getattr(self, \"0\")).forward(x, )", ""},
      {"_0 = __torch__.helper\n    y = _0(x, )", ""},
      {"torch.warn(\"careful\", 2)", ""},
      {"torch.save(x, \"/tmp/file\")", "code/__torch__.py:7: torch.save is not on the list"},
      {"y = torch.from_file(\"/etc/passwd\", False, 10)", "torch.from_file is not on the list"},
      {"y = ops.aten.from_file(\"/etc/passwd\", False, 10)", "ops.aten.from_file is not on the list"},
      {"y = ops.evil.run(x)", "ops.evil.run is not on the list"},
      {"y = ops.torchvision.nms(x, x, 0.5)", "ops.torchvision.nms is not on the list"},
      {"y = torch.ops.evil.run(x)", "torch.ops.evil.run is not on the list"},
      {"print(x)", "prints"},
      {"y = open(\"file\")", "calls open"},
      {"y = fork(self.forward, x)", "calls fork"},
      {"x.save(\"file\")", ".save is not on the list"},
      {"f = torch.save\n    f(x, \"file\")", "torch.save is not on the list"},
      {"t = torch\n    t.save(x, \"file\")", ".save is not on the list"},
      {"y = getattr(x, \"save\")(\"file\")", ".save is not on the list"},
      {"n = \"save\"\n    y = getattr(x, n)", "a name that is not written out"},
      {"x.resize_([10])", ".resize_ is not on the list"},
      {"torch.manual_seed(1)", "torch.manual_seed is not on the list"},
      {"y = ops.prim.rpc_sync(\"host\", x)", "ops.prim.rpc_sync is not on the list"},
      {"if torch.gt(x, 0):\n      torch.save(x, \"deep\")\n    else:\n      pass", "torch.save is not on the list"},
      {"y = __torch__.torch.classes.evil.Box(x)", "is a custom class"},
      {"o = ops\n    y = o.evil.run(x)", "uses ops as a value"},
      {"y = getattr(torch, \"add\")(x, x)", "uses torch as a value"},
      {"c = __torch__.torch\n    y = c.classes.evil.Box(x)", "__torch__.torch is not defined in the archive"},
      {"y = = 3", "cannot be parsed"},
  };
  const test::TempFolder folder;
  for (const Row& row : rows) {
    CAPTURE(row.line);
    put_archive(folder / "net.pt", in_forward(row.line));
    const std::string text = found(graph::audit(folder / "net.pt"));
    CAPTURE(text);
    CHECK(text.empty() == row.what.empty());
    CHECK(text.find(row.what) != std::string::npos);
  }
}

TEST_CASE("files made by LibTorch with hostile methods are found before they are loaded", "[unit]") {
  const test::TempFolder folder;
  const std::string dropped = folder / "dropped";
  auto at_load = test::make_module("AtLoad", "def forward(self, x):\n  return x\n");
  at_load.define("def __getstate__(self):\n  return (self.training, 1)\n");
  at_load.define(
      "def __setstate__(self, state: Tuple[bool, int]):\n  self.training = state[0]\n  torch.save(state[1], \"" +
      dropped + "\")\n");
  test::put_file(folder / "at_load.pt", test::bytes_of(at_load));
  const std::string at_load_found = found(graph::audit(folder / "at_load.pt"));
  CHECK(at_load_found.find("defines __setstate__") != std::string::npos);
  CHECK(at_load_found.find("torch.save") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(dropped));
  test::from_bytes(test::bytes_of(at_load));
  CHECK(std::filesystem::exists(dropped));  // loading it does what the audit says

  auto at_run = test::make_module("AtRun", "def forward(self, x):\n  torch.save(x, \"" + dropped + "\")\n  return x\n");
  test::put_file(folder / "at_run.pt", test::bytes_of(at_run));
  CHECK(found(graph::audit(folder / "at_run.pt")).find("torch.save") != std::string::npos);

  put_archive(folder / "class.pt", in_forward("pass"), "c__torch__.torch.classes.evil\nBox\n");
  CHECK(found(graph::audit(folder / "class.pt")) == "data.pkl:0: holds an object of a custom class; ");
}

TEST_CASE("tiny nets pass the audit", "[unit]") {
  const test::TempFolder folder;
  for (const char* name : {"chain", "residual", "loop", "branchy", "tuple", "modes", "aux", "wrapper"}) {
    CAPTURE(name);
    test::put_file(folder / "net.pt", test::bytes_of(test::make_net(name)));
    CHECK(found(graph::audit(folder / "net.pt")) == "");
  }
}

TEST_CASE("what is no TorchScript archive is told by what it is", "[unit]") {
  const test::TempFolder folder;
  const std::string net = test::bytes_of(test::make_net("chain"));
  {
    caffe2::serialize::PyTorchStreamWriter writer(folder / "state.pt");
    writer.writeRecord("data.pkl", "x", 1);
    writer.writeEndOfFile();
    caffe2::serialize::PyTorchStreamWriter exported(folder / "exported.pt2");
    exported.writeRecord("archive_format", "pt2", 3);
    exported.writeEndOfFile();
  }
  struct Row {
    std::string name, bytes, what;
  };
  const std::vector<Row> rows = {
      {"state.pt", "", "holds a state_dict or a pickled object, not TorchScript: models/export_backbone.py"},
      {"exported.pt2", "", "a torch.export program"},
      {"old.pt", std::string("\x80\x02\x8a\x0al\xfc\x9c", 7), "a Python pickle (torch.save of old)"},
      {"new.pkl", "\x80\x04.", "a Python pickle"},
      {"net.onnx", "\x08\x07\x12\x07pytorch\x1a\x03", "an ONNX model"},
      {"net.safetensors", std::string("\x10\0\0\0\0\0\0\0", 8) + "{\"a\":{}}        ", "a safetensors file"},
      {"net.h5", "\x89HDF\r\n\x1a\n....", "an HDF5 file"},
      {"page.pt", "<!DOCTYPE html><html>", "a web page"},
      {"lfs.pt", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer"},
      {"net.pt.gz", "\x1f\x8b\x08", "gzip-compressed"},
      {"text.pt", "hello", "not a TorchScript archive"},
      {"half.pt", net.substr(0, net.size() / 2), "is cut short or damaged"},
      {"almost.pt", net.substr(0, net.size() - 10), "is cut short or damaged"},
      {"start.pt", net.substr(0, 8), "is cut short or damaged"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    if (!row.bytes.empty()) test::put_file(folder / row.name, row.bytes);
    std::string message;
    try {
      graph::audit(folder / row.name);
    } catch (const ModelError& error) {
      message = error.what();
    }
    CHECK(message.find((folder / row.name) + ": " + row.what) == 0);
    CHECK(message.find('\n') == std::string::npos);
  }
  test::put_file(folder / "empty.pt", "");
  CHECK_THROWS_WITH(graph::audit(folder / "empty.pt"), (folder / "empty.pt") + ": is empty (0 bytes)");
  CHECK_THROWS_WITH(graph::audit(folder.path()), folder.path() + ": is a folder; expected a TorchScript file");
  CHECK_THROWS_WITH(graph::audit(folder / "none.pt"), (folder / "none.pt") + ": no such file");
}

TEST_CASE("every allowed operator exists, and none of those that reach files is allowed", "[unit]") {
  std::istringstream words(graph::allowed_operator_names());
  int count = 0;
  for (std::string name; words >> name; ++count) {
    const auto known = [&](const char* space) {
      return !torch::jit::getAllOperatorsFor(c10::Symbol::fromQualString(space + name)).empty();
    };
    CAPTURE(name);
    CHECK((known("aten::") || known("prim::")));
  }
  CHECK(count > 500);
  for (const char* name : {"save", "from_file", "Print", "set_data", "rpc_sync", "manual_seed", "resize_"})
    CHECK_FALSE(graph::is_allowed_operator(name));
}

TEST_CASE("the shared networks pass the audit", "[real]") {
  ENGRAFT_NEED_SHARED(shared);
  for (const char* name : {"inception_v3_mixed8.pt", "googlenet_imagenet1k.pt"})
    CHECK(found(graph::audit(shared + "/weights/" + name)) == "");
}
