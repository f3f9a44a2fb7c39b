#pragma once

#include <string>

namespace engraft::store {

/// Where what the frozen part computes is kept. None of it changes a result.
struct CacheOptions {
  std::string cache = "auto";
  double cache_limit = 20;
  std::string cache_dir;
};

template <class Visitor>
void describe(Visitor& v, CacheOptions& o) {
  v.group("Cache (what the frozen blocks compute, kept instead of computed in every epoch; changes no result)");
  v.field(
       "cache", o.cache,
       "memory; disk: later runs find it; auto: memory up to a quarter of it, then disk; off: the trunk runs in every "
       "epoch")
      .one_of({"auto", "memory", "disk", "off"})
      .not_recorded();
  v.field("cache_limit", o.cache_limit, "GiB that caches on disk may take together; the longest unused go first")
      .value("GIB")
      .at_least(0)
      .not_recorded();
  v.field(
       "cache_dir", o.cache_dir,
       "where --cache disk keeps, and auto what memory does not hold; default: $ENGRAFT_CACHE, else the user's cache "
       "folder")
      .value("DIR")
      .not_recorded();
}

}  // namespace engraft::store
