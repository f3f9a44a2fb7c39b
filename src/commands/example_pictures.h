#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "image/picture.h"

namespace engraft::commands {

/// Pictures that the program draws itself.
struct DrawnSet {
  /// In alphabetical order.
  std::vector<std::string> classes;
  /// Picture `number` of class `label` with `short_side` pixels on the shorter side: a pure function of its arguments.
  std::function<image::Picture(size_t label, uint64_t seed, uint64_t number, int64_t short_side)> draw;
};

/// The names that drawn_set() knows.
std::vector<std::string> drawn_set_names();

/// - textures: four waves (checks, diagonal, horizontal, vertical), period, phase, colours and contrast drawn. Easy.
/// - shapes: eight classes, a disc, square, star or triangle filled with dots or stripes, among small plain shapes on a
///   patterned ground. Place, size, turn, colours, periods and ground are drawn, and every shape and every filling
///   belongs to several classes, so that no colour, pixel or texture tells a class by itself.
/// Throws UsageError for another name.
DrawnSet drawn_set(const std::string& name);

}  // namespace engraft::commands
