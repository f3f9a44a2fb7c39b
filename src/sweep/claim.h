#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace engraft::sweep {

struct ClaimOptions {
  /// How often a claim is renewed, and how old one is that nobody renews any more.
  double heartbeat_s = 30;
  double stale_s = 300;
};

/// A folder that one process at a time works on, whatever number of them on whatever hosts share the disk. A claim is
/// the file `claim-N`, made exclusively, which holds who made it; its holder renews it by setting its time, by the file
/// server's clock. One whose time is older than that clock by stale_s, or whose process is known to be gone from this
/// host, is taken over by making `claim-(N+1)`, which only one can. Nothing is renamed and nothing is locked, so that
/// file systems without locks do.
class Claim {
 public:
  /// Null where somebody else holds the folder. Throws SystemError.
  static std::unique_ptr<Claim> take(const std::string& folder, const ClaimOptions& options = {});
  /// Gives it back, so that the next one need not wait.
  ~Claim();
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

  /// A word that no other claim has.
  const std::string& token() const { return token_; }
  /// How many claimed the folder before and did not give it back.
  int64_t lost_before() const { return lost_before_; }
  /// Whether somebody else took it over, since it was not renewed for too long. Reads the disk.
  bool is_lost() const;

 private:
  Claim(std::string folder, std::string file, std::string holder, const ClaimOptions& options);
  void renew();

  std::string folder_, file_, holder_, token_;
  ClaimOptions options_;
  int64_t lost_before_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ends_ = false;
  std::thread heart_;
};

/// Who holds the folder and renews the claim: "host, process 123"; none where nobody does.
std::optional<std::string> holder_of(const std::string& folder, const ClaimOptions& options = {});

/// Whether `process` of this machine claimed the folder and did not give it back, whether or not it is alive or another
/// took it over since.
bool was_claimed_by(const std::string& folder, int64_t process);

}  // namespace engraft::sweep
