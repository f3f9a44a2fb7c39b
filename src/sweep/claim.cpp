#include "sweep/claim.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "io/json.h"

namespace engraft::sweep {

namespace {

namespace fs = std::filesystem;

constexpr const char* kPrefix = "claim-";
constexpr int64_t kMostClaims = 1000000000;  // a larger number is none of ours

std::string first_line(const std::string& path) {
  try {
    return text::split(io::read_file(path), '\n').front();
  } catch (const DataError&) {
    return "";
  }
}

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

/// Fields of /proc/PID/stat behind the name, which may hold anything: the first is empty, the second field 3 of
/// proc(5).
std::vector<std::string> stat_of(int64_t pid) {
  const std::string stat = first_line(text::cat("/proc/", pid, "/stat"));
  const size_t name_end = stat.rfind(')');
  return name_end == std::string::npos ? std::vector<std::string>{} : text::split(stat.substr(name_end + 1), ' ');
}

/// When process `pid` of this host began, in the kernel's ticks; empty where that cannot be seen.
std::string began(int64_t pid) {
  constexpr size_t kStartTime = 20;  // field 22
  const std::vector<std::string> fields = stat_of(pid);
  return fields.size() <= kStartTime || fields[1] == "Z" ? "" : fields[kStartTime];
}

/// Whether it ended and is only waited for.
bool is_zombie(int64_t pid) {
  const std::vector<std::string> fields = stat_of(pid);
  return fields.size() > 1 && fields[1] == "Z";
}

/// Where process numbers mean what they mean here: this boot of this machine, this namespace.
std::string realm() {
  std::error_code unknown;
  return first_line("/proc/sys/kernel/random/boot_id") + " " + fs::read_symlink("/proc/self/ns/pid", unknown).string();
}

/// This process, and a number that no other claim has.
std::string holder_text() {
  std::random_device device;
  const auto number = static_cast<uint64_t>(device()) << 32U | device();
  return io::json_line(io::Json{{"host", host_name()},
                                {"process", static_cast<int64_t>(::getpid())},
                                {"began", began(::getpid())},
                                {"realm", realm()},
                                {"number", number}});
}

/// Whether the process that wrote `holder` is known not to be there any more.
bool is_gone(const std::string& holder) {
  try {
    const io::Json said = io::parse_json(holder, "claim");
    const auto process = said.at("process").get<int64_t>();
    if (said.at("realm") != realm()) return false;
    if (::kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH) return true;
    const std::string since = began(process);  // empty where it ended a moment ago, or may not be looked at
    return since.empty() ? is_zombie(process) : since != said.at("began").get<std::string>();
  } catch (const std::exception&) {
    return false;  // half written, or of another version: its time will tell
  }
}

double seconds_of(const struct stat& facts) {
  return static_cast<double>(facts.st_mtim.tv_sec) + 1e-9 * static_cast<double>(facts.st_mtim.tv_nsec);
}

/// Makes `path` exclusively with `text` in it; false where it is there.
bool make_exclusively(const std::string& path, const std::string& text) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    if (errno == EEXIST) return false;
    throw SystemError::from_errno("make", path);
  }
  try {
    io::write_all(descriptor, text.data(), text.size(), path);
  } catch (...) {
    ::close(descriptor);
    ::unlink(path.c_str());
    throw;
  }
  ::fsync(descriptor);
  ::close(descriptor);
  return true;
}

/// What time it is where the folder is, by a file that is made there.
double server_time(const std::string& folder) {
  const std::string path = text::cat(folder, "/.clock-", host_name(), "-", ::getpid(), "-",
                                     std::hash<std::thread::id>{}(std::this_thread::get_id()));
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) throw SystemError::from_errno("make", path);
  const bool is_written = ::write(descriptor, "t", 1) == 1;
  struct stat facts {};
  const bool is_known = ::fstat(descriptor, &facts) == 0;
  ::close(descriptor);
  ::unlink(path.c_str());
  if (!is_written || !is_known) throw SystemError::from_errno("write", path);
  return seconds_of(facts);
}

/// The same, or this machine's time where nothing can be made in the folder, as for who only looks.
double time_at(const std::string& folder) {
  try {
    return server_time(folder);
  } catch (const SystemError&) {
    return static_cast<double>(::time(nullptr));
  }
}

/// The numbers of the claims in `folder`, ascending.
std::vector<int64_t> claims_in(const std::string& folder) {
  std::vector<int64_t> numbers;
  std::error_code unknown;
  for (fs::directory_iterator it(folder, unknown), end; !unknown && it != end; it.increment(unknown)) {
    const std::string name = it->path().filename();
    if (!text::starts_with(name, kPrefix)) continue;
    const auto number = text::to_int(name.substr(std::string(kPrefix).size()));
    if (number && *number > 0 && *number < kMostClaims) numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::string file_of(const std::string& folder, int64_t number) { return text::cat(folder, "/", kPrefix, number); }

/// What a claim says of its holder, as far as can be known: it works on (renews the claim), it does not, or it gave the
/// claim back since the folder was listed.
enum class Holder { kAlive, kLost, kGivenBack };

Holder look_at(const std::string& folder, int64_t number, const ClaimOptions& options) {
  const std::string file = file_of(folder, number), holder = first_line(file);
  struct stat facts {};
  if (::stat(file.c_str(), &facts) != 0) return Holder::kGivenBack;
  if (is_gone(holder)) return Holder::kLost;
  // One of the future is nobody's: who renews it does so by the same clock.
  return std::abs(time_at(folder) - seconds_of(facts)) <= options.stale_s ? Holder::kAlive : Holder::kLost;
}

}  // namespace

std::unique_ptr<Claim> Claim::take(const std::string& folder, const ClaimOptions& options) {
  io::make_folders(folder);
  std::vector<int64_t> before = claims_in(folder);
  for (int look = 0; !before.empty(); ++look) {
    const Holder last = look_at(folder, before.back(), options);
    if (last == Holder::kAlive || look == 100) return nullptr;
    if (last == Holder::kLost) break;
    before = claims_in(folder);  // nothing was lost: a number after one that is not there would say so
  }
  const int64_t number = before.empty() ? 1 : before.back() + 1;
  const std::string holder = holder_text(), file = file_of(folder, number);
  if (!make_exclusively(file, holder + "\n")) return nullptr;
  // Between looking and making, the last holder may have given all back and another begun anew: whoever sees the other
  // steps back, and the later one of the two does see it.
  for (const int64_t other : claims_in(folder)) {
    if (other > number || (other < number && look_at(folder, other, options) == Holder::kAlive)) {
      ::unlink(file.c_str());
      return nullptr;
    }
  }
  std::unique_ptr<Claim> claim(new Claim(folder, file, holder, options));
  claim->lost_before_ = number - 1;
  claim->token_ = io::parse_json(holder, "claim").at("number").dump();
  return claim;
}

Claim::Claim(std::string folder, std::string file, std::string holder, const ClaimOptions& options)
    : folder_(std::move(folder)), file_(std::move(file)), holder_(std::move(holder)), options_(options) {
  heart_ = std::thread([this] { renew(); });
}

Claim::~Claim() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ends_ = true;
  }
  wake_.notify_all();
  heart_.join();
  if (is_lost()) {
    // Whoever took it over clears up all below its own; but who stepped back after a look clears up nothing of ours.
    if (first_line(file_) == holder_) ::unlink(file_.c_str());
    return;
  }
  // From the highest down: while one is there, who looks sees that this process still holds it.
  for (int64_t number = lost_before_; number >= 1; --number) ::unlink(file_of(folder_, number).c_str());
  ::unlink(file_.c_str());
}

bool Claim::is_lost() const {
  const std::vector<int64_t> now = claims_in(folder_);
  if (now.empty()) return ::access(folder_.c_str(), R_OK) == 0;  // a folder that cannot be read says nothing
  const std::string held = first_line(file_);
  return now.back() != lost_before_ + 1 || (!held.empty() && held != holder_);
}

void Claim::renew() {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto period = std::chrono::duration<double>(options_.heartbeat_s);
  while (!wake_.wait_for(lock, period, [this] { return ends_; })) {
    const std::string now = first_line(file_);
    if (!now.empty() && now != holder_) return;        // one that cannot be read for a moment may be there
    ::utimensat(AT_FDCWD, file_.c_str(), nullptr, 0);  // by the server's clock
  }
}

std::optional<std::string> holder_of(const std::string& folder, const ClaimOptions& options) {
  const std::vector<int64_t> claims = claims_in(folder);
  if (claims.empty() || look_at(folder, claims.back(), options) != Holder::kAlive) return std::nullopt;
  try {
    const io::Json said = io::parse_json(first_line(file_of(folder, claims.back())), "claim");
    return said.at("host").get<std::string>() + ", process " + said.at("process").dump();
  } catch (const std::exception&) {
    return "unknown";
  }
}

bool was_claimed_by(const std::string& folder, int64_t process) {
  const std::vector<int64_t> claims = claims_in(folder);
  return std::any_of(claims.begin(), claims.end(), [&](int64_t number) {
    try {
      const io::Json said = io::parse_json(first_line(file_of(folder, number)), "claim");
      return said.at("realm") == realm() && said.at("process") == process;
    } catch (const std::exception&) {
      return false;
    }
  });
}

}  // namespace engraft::sweep
