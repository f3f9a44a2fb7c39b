#include "io/npy.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::io {

namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kAlignment = 64;
constexpr size_t kMaxRowDigits = 19;  // of an int64_t
constexpr int64_t kMaxHeaderBytes = 1 << 20;

/// Product of sizes; nothing when it does not fit.
std::optional<int64_t> product(int64_t first, const std::vector<int64_t>& sizes) {
  int64_t out = first;
  for (const int64_t size : sizes) {
    if (size < 0 || __builtin_mul_overflow(out, size, &out)) return std::nullopt;
  }
  return out;
}

struct Header {
  std::string dtype;
  std::vector<int64_t> shape;
  bool fortran_order = false;
};

/// Reads the dict literal of a header: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  Header parse() {
    Header header;
    bool has_descr = false;
    bool has_order = false;
    bool has_shape = false;
    expect('{');
    while (!take('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr") {
        if (peek() == '[') throw DataError(where_ + ": holds records; expected an array of plain numbers");
        header.dtype = quoted();
        has_descr = true;
      } else if (key == "fortran_order") {
        header.fortran_order = boolean();
        has_order = true;
      } else if (key == "shape") {
        header.shape = tuple();
        has_shape = true;
      } else {
        fail("key '" + key + "' is not one of descr, fortran_order, shape");
      }
      if (!take(',') && peek() != '}') fail("expected ',' or '}'");
    }
    if (!has_descr || !has_order || !has_shape) fail("expected the keys descr, fortran_order and shape");
    if (peek() != '\0') fail("text after the closing brace");
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw DataError(text::cat(where_, ": the npy header is damaged at its byte ", at_, ": ", what));
  }
  /// The next character that is not blank, or NUL at the end.
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail(std::string("expected '") + c + "'");
  }
  std::string quoted() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail("expected a quoted word");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) fail("a quote is never closed");
    const std::string out(text_.substr(at_ + 1, end - at_ - 1));
    for (const char c : out) {
      if (c < ' ' || c > '~') fail("a word with a byte that is not printable");  // it would break the error's one line
    }
    at_ = end + 1;
    return out;
  }
  bool boolean() {
    peek();
    for (const std::string_view word : {std::string_view("True"), std::string_view("False")}) {
      if (text::starts_with(text_.substr(at_), word)) {
        at_ += word.size();
        return word == "True";
      }
    }
    fail("expected True or False");
  }
  std::vector<int64_t> tuple() {
    std::vector<int64_t> out;
    expect('(');
    while (!take(')')) {
      peek();
      const size_t begin = at_;
      while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
      const std::optional<int64_t> size = text::to_int(text_.substr(begin, at_ - begin));
      if (!size) fail("expected a size");
      if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // a long of Python 2
      out.push_back(*size);
      if (!take(',') && peek() != ')') fail("expected ',' or ')'");
    }
    return out;
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
};

void read_at(int descriptor, const std::string& path, int64_t offset, int64_t size, void* out) {
  char* bytes = static_cast<char*>(out);
  while (size > 0) {
    const ssize_t got = ::pread(descriptor, bytes, static_cast<size_t>(size), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw DataError("cannot read " + path + ": " + std::strerror(errno));
    if (got == 0) throw DataError(path + ": ends early; expected " + text::count_of(size, "more byte"));
    bytes += got;
    offset += got;
    size -= got;
  }
}

}  // namespace

int64_t npy_item_bytes(const std::string& dtype, const std::string& where) {
  const auto is_one_of = [&](std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (dtype == name) return true;
    }
    return false;
  };
  if (is_one_of({"|u1", "|i1", "|b1", "<u1", "<i1"})) return 1;
  if (is_one_of({"<f2", "<i2", "<u2"})) return 2;
  if (is_one_of({"<f4", "<i4", "<u4"})) return 4;
  if (is_one_of({"<f8", "<i8", "<u8"})) return 8;
  if (!dtype.empty() && dtype[0] == '>') {
    throw DataError(where + ": holds big-endian '" + dtype + "'; expected little-endian numbers");
  }
  throw DataError(where + ": holds '" + dtype + "'; expected plain numbers, for instance '<f4' or '<i8'");
}

NpyWriter::NpyWriter(const std::string& path, const std::string& dtype, const std::vector<int64_t>& row_shape)
    : file_(path), dtype_(dtype), row_shape_(row_shape) {
  const std::optional<int64_t> bytes = product(npy_item_bytes(dtype, path), row_shape);
  if (!bytes) throw DataError(path + ": a row " + text::shape(row_shape) + " has no valid size");
  row_bytes_ = *bytes;
  const std::string start = header(0);
  file_.write(start);
  data_offset_ = static_cast<int64_t>(start.size());
}

std::string NpyWriter::header(int64_t rows) const {
  const auto dict = [&](const std::string& count) {
    std::string shape = "(" + count + ",";
    for (const int64_t size : row_shape_) shape += " " + std::to_string(size) + ",";
    if (!row_shape_.empty()) shape.pop_back();  // a comma ends a tuple of one only
    return "{'descr': '" + dtype_ + "', 'fortran_order': False, 'shape': " + shape + "), }";
  };
  // Room for the longest count, so that the final one fits whatever it is.
  const size_t prefix = kMagic.size() + 4;
  const size_t longest = prefix + dict(std::string(kMaxRowDigits, '9')).size() + 1;
  const size_t total = (longest + kAlignment - 1) / kAlignment * kAlignment;
  const size_t length = total - prefix;
  std::string out(kMagic);
  out += {'\x01', '\x00', static_cast<char>(length & 0xFF), static_cast<char>(length >> 8)};
  out += dict(std::to_string(rows));
  out.resize(total - 1, ' ');
  return out + '\n';
}

void NpyWriter::append(const void* data, int64_t rows) {
  file_.write(data, static_cast<size_t>(rows * row_bytes_));
  rows_ += rows;
}

void NpyWriter::read(int64_t first, int64_t rows, void* out) const {
  const auto offset = static_cast<uint64_t>(data_offset_ + first * row_bytes_);
  file_.read_at(offset, out, static_cast<size_t>(rows * row_bytes_));
}

void NpyWriter::commit() {
  const std::string bytes = header(rows_);
  file_.write_at(0, bytes.data(), bytes.size());
  file_.commit();
}

NpyReader::NpyReader(const std::string& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) throw DataError("cannot read " + path + ": " + std::strerror(errno));
  try {
    open();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

NpyReader::~NpyReader() { ::close(descriptor_); }

void NpyReader::open() {
  struct stat info {};
  if (::fstat(descriptor_, &info) != 0) throw DataError("cannot read " + path_ + ": " + std::strerror(errno));
  if (!S_ISREG(info.st_mode)) throw DataError("cannot read " + path_ + ": not a file");
  const auto file_bytes = static_cast<int64_t>(info.st_size);
  std::string start(12, '\0');
  if (file_bytes < 12) throw DataError(path_ + ": is not an npy file (" + text::count_of(file_bytes, "byte") + ")");
  read_at(descriptor_, path_, 0, 12, start.data());
  if (start.compare(0, kMagic.size(), kMagic) != 0) throw DataError(path_ + ": is not an npy file (no \\x93NUMPY)");
  const int version = start[6];
  if (version < 1 || version > 3) {
    throw DataError(text::cat(path_, ": npy version ", version, "; expected 1, 2 or 3"));
  }
  const int64_t prefix = version == 1 ? 10 : 12;
  int64_t length = 0;
  for (int64_t i = prefix - 1; i >= 8; --i) length = length * 256 + static_cast<uint8_t>(start[static_cast<size_t>(i)]);
  if (length > kMaxHeaderBytes || prefix + length > file_bytes) {
    throw DataError(text::cat(path_, ": the npy header is damaged: it claims ", length, " bytes"));
  }
  std::string dict(static_cast<size_t>(length), '\0');
  read_at(descriptor_, path_, prefix, length, dict.data());
  Header header = HeaderParser(dict, path_).parse();
  const std::optional<int64_t> bytes = product(npy_item_bytes(header.dtype, path_), header.shape);
  if (!bytes) throw DataError(path_ + ": shape " + text::shape(header.shape) + " is too large");
  if (header.fortran_order && header.shape.size() > 1) {
    throw DataError(path_ + ": is in Fortran order; expected C order (numpy.ascontiguousarray)");
  }
  data_offset_ = prefix + length;
  data_bytes_ = *bytes;
  if (file_bytes - data_offset_ != data_bytes_) {
    throw DataError(text::cat(path_, ": ", header.dtype, " ", text::shape(header.shape), " needs ", data_bytes_,
                              " bytes of data; found ", file_bytes - data_offset_));
  }
  dtype_ = header.dtype;
  shape_ = header.shape;
}

void NpyReader::read(int64_t offset, int64_t size, void* out) const {
  if (offset < 0 || size < 0 || offset > data_bytes_ || size > data_bytes_ - offset) {
    throw DataError(
        text::cat(path_, ": bytes ", offset, " to ", offset + size, " wanted of ", data_bytes_, " bytes of data"));
  }
  read_at(descriptor_, path_, data_offset_ + offset, size, out);
}

NpyMap::NpyMap(const std::string& path) {
  const NpyReader reader(path);
  dtype_ = reader.dtype();
  shape_ = reader.shape();
  data_offset_ = reader.data_offset();
  mapped_bytes_ = static_cast<size_t>(reader.data_offset() + reader.data_bytes());
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw SystemError::from_errno("open", path);
  mapping_ = ::mmap(nullptr, mapped_bytes_, PROT_READ, MAP_SHARED, descriptor, 0);
  const int code = errno;
  ::close(descriptor);
  errno = code;
  if (mapping_ == MAP_FAILED) throw SystemError::from_errno("map", path);
}

NpyMap::~NpyMap() { ::munmap(mapping_, mapped_bytes_); }

NpyArray read_npy(const std::string& path) {
  const NpyReader reader(path);
  NpyArray array;
  array.dtype = reader.dtype();
  array.shape = reader.shape();
  array.bytes.resize(static_cast<size_t>(reader.data_bytes()));
  reader.read(0, reader.data_bytes(), array.bytes.data());
  return array;
}

}  // namespace engraft::io
