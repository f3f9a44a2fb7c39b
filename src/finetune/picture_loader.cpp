#include "finetune/picture_loader.h"

#include <algorithm>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "data/picture_file.h"
#include "image/transform.h"

namespace engraft::finetune {

namespace {

using SharedPicture = std::shared_ptr<const image::Picture>;

/// The last few pictures that were decoded, for threads that want views of the same one: the first to ask decodes, the
/// others wait for it.
class DecodedPictures {
 public:
  explicit DecodedPictures(size_t capacity) : capacity_(capacity) {}

  /// What `decode` gives or throws.
  template <class Decode>
  SharedPicture get(int64_t row, const Decode& decode) {
    std::promise<SharedPicture> promise;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      for (const auto& [known, picture] : recent_) {
        if (known != row) continue;
        const std::shared_future<SharedPicture> future = picture;
        lock.unlock();
        return future.get();
      }
      recent_.emplace_back(row, promise.get_future().share());
      if (recent_.size() > capacity_) recent_.pop_front();
    }
    try {
      SharedPicture picture = decode();
      promise.set_value(picture);
      return picture;
    } catch (...) {
      promise.set_exception(std::current_exception());
      throw;
    }
  }

 private:
  const size_t capacity_;
  std::mutex mutex_;
  std::deque<std::pair<int64_t, std::shared_future<SharedPicture>>> recent_;
};

/// The bytes of pictures, and what is noted of their files.
class PictureFiles {
 public:
  PictureFiles(const data::Listing& listing, std::vector<io::FileFacts>* facts) : listing_(listing), facts_(facts) {}

  std::string read(int64_t row) const {
    const data::Sample& sample = listing_.samples[static_cast<size_t>(row)];
    if (facts_ == nullptr) return data::read_picture(sample);
    io::FileFacts facts = data::look_at_picture(sample);  // before it is read: what changes it later changes its time
    std::string bytes = data::read_picture(sample);
    facts.digest = io::digest_of(bytes);
    const std::lock_guard<std::mutex> lock(*mutex_);  // of a picture whose views are read twice, the first counts
    io::FileFacts& noted = (*facts_)[static_cast<size_t>(row)];
    if (noted.bytes < 0) noted = facts;
    return bytes;
  }

 private:
  const data::Listing& listing_;
  std::vector<io::FileFacts>* facts_;
  std::shared_ptr<std::mutex> mutex_ = std::make_shared<std::mutex>();
};

/// Reduced only where nothing is cropped out of it but what preprocessing crops.
SharedPicture decode_picture(const std::string& bytes, image::Preprocessing preprocessing, bool is_of_square) {
  preprocessing.fast_decode = preprocessing.fast_decode && is_of_square;
  const image::DecodeOptions options = image::decode_options(preprocessing);
  return std::make_shared<const image::Picture>(image::decode(image::ByteSpan(bytes), options).picture);
}

SharedPicture squared(const image::Picture& picture, const image::Preprocessing& preprocessing) {
  auto square = std::make_shared<image::Picture>(preprocessing.size_px, preprocessing.size_px);
  image::preprocess(picture, preprocessing, square->pixels.data());
  return square;
}

size_t cores() { return std::max(1U, std::thread::hardware_concurrency()); }

}  // namespace

data::LoadFunction picture_loader(const data::Listing& listing, const image::Preprocessing& preprocessing,
                                  const Views& views, std::vector<io::FileFacts>* facts) {
  const PictureFiles files(listing, facts);
  if (!views.is_random()) {
    return [files, preprocessing](int64_t row, uint8_t* out) {
      const std::string bytes = files.read(row);
      image::decode_and_preprocess(image::ByteSpan(bytes), preprocessing, out);
    };
  }
  const auto decoded = std::make_shared<DecodedPictures>(views.count > 1 ? cores() + 1 : 0);
  const bool is_of_square = image::is_of_square(views.augmentation);
  return [files, preprocessing, views, decoded, is_of_square](int64_t item, uint8_t* out) {
    const int64_t row = views.row_of(item);
    if (item == row) {  // a clean picture has the bytes that it has without augmentation
      const std::string bytes = files.read(row);
      image::decode_and_preprocess(image::ByteSpan(bytes), preprocessing, out);
      return;
    }
    const SharedPicture picture = decoded->get(row, [&] {
      SharedPicture whole = decode_picture(files.read(row), preprocessing, is_of_square);
      return is_of_square ? squared(*whole, preprocessing) : whole;
    });
    RandomStream stream = views.stream(item);
    if (is_of_square) {
      image::augment_square(*picture, preprocessing, views.augmentation, stream, out);
    } else {
      image::augment(*picture, preprocessing, views.augmentation, stream, out);
    }
  };
}

data::LoaderOptions picture_loader_options(const image::Preprocessing& preprocessing, int64_t batch_size,
                                           int64_t loader_threads) {
  data::LoaderOptions options;
  options.threads = static_cast<int>(loader_threads > 0 ? loader_threads : static_cast<int64_t>(cores()));
  options.batch_size = batch_size;
  options.sample_bytes = static_cast<int64_t>(preprocessing.size_px) * preprocessing.size_px * 3;
  return options;
}

}  // namespace engraft::finetune
