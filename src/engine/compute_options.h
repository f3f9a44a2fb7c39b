#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace engraft::engine {

/// What every command that runs a network takes.
struct ComputeOptions {
  std::string device = "auto";
  std::string engine = "auto";
  std::string precision = "auto";
  int64_t threads = 0;
  int64_t loader_threads = 0;
  bool trust = false;
};

template <class Visitor>
void describe(Visitor& v, ComputeOptions& o) {
  v.group("Machine");
  v.field("device", o.device, "auto, cpu, cuda or cuda:N; auto takes a GPU where there is one").value("DEVICE");
  v.field(
       "engine", o.engine,
       "what runs the frozen part of a network: torch (LibTorch), openvino (on CPUs), or auto: OpenVINO where it can "
       "and agrees with LibTorch; a model.pt is judged by LibTorch unless openvino is asked for")
      .one_of({"auto", "torch", "openvino"});
  v.field(
       "precision", o.precision,
       "arithmetic of the backbone: f32, bf16, auto: bf16 where the machine has it, or int8: by OpenVINO, calibrated "
       "on the pictures and kept only if it is as good on others of them; a model.pt is judged in f32 unless bf16 or "
       "int8 is asked for")
      .one_of({"auto", "f32", "bf16", "int8"});
  v.field("threads", o.threads, "compute threads; 0: all cores").at_least(0).at_most(1024);
  v.field("loader_threads", o.loader_threads, "threads that read and decode pictures; 0: as many as cores")
      .at_least(0)
      .at_most(1024)
      .not_recorded();
  v.field("trust", o.trust, "load the TorchScript file even if the audit of its code finds something");
}

}  // namespace engraft::engine
