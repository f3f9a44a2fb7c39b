#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "io/json.h"

namespace engraft::options {

/// One option as the outside sees it: a name, a help line, a range, and how to read and write the member behind it.
/// Made by Schema::field; the methods that return Field& refine it.
class Field {
 public:
  /// What the text of a value looks like in help ("PX", "N").
  Field& value(std::string name);
  Field& above(double low);
  Field& at_least(double low);
  Field& below(double high);
  Field& at_most(double high);
  Field& one_of(std::vector<std::string> words);
  /// Must be given (on the command line or in the configuration file).
  Field& required();
  /// Given without its name, in this place; a vector takes all that follow.
  Field& positional();
  /// Left out of the run record (where it cannot change a result: --quiet, --json).
  Field& not_recorded();

  const std::string& name() const { return name_; }
  /// The name as a flag: dashes for underscores, without the leading "--".
  std::string flag() const;
  const std::string& help() const { return help_; }
  const std::string& group() const { return group_; }
  const std::string& value_name() const { return value_name_; }
  const std::vector<std::string>& choices() const { return choices_; }
  bool is_switch() const { return is_switch_; }
  bool is_repeatable() const { return is_repeatable_; }
  bool is_required() const { return required_; }
  bool is_positional() const { return positional_; }
  bool is_recorded() const { return recorded_; }
  bool was_set() const { return was_set_; }
  /// "above 0", "0 to 1", "one of a, b"; empty when anything goes.
  std::string range_text() const;

  /// The member's value; null for an empty optional.
  io::Json get() const;
  /// Sets from a JSON value of the right kind. Throws UsageError "WHERE: NAME …".
  void set(const io::Json& value, const std::string& where);
  /// Sets from what a user typed; a repeatable field takes one text for each time it was given.
  void set_text(const std::vector<std::string>& texts, const std::string& where);

 private:
  friend class Schema;
  enum class Kind { kBool, kInt, kDouble, kText };
  void check(const io::Json& value, const std::string& where) const;
  io::Json parse(const std::string& text, const std::string& where) const;
  std::string kind_text() const;

  std::string name_, help_, group_, value_name_;
  Kind kind_ = Kind::kText;
  bool is_switch_ = false, is_repeatable_ = false, required_ = false, positional_ = false, recorded_ = true;
  bool was_set_ = false;
  /// For a repeatable field: how many values it takes in one text, comma-separated; 0 = one each time it is given.
  size_t tuple_size_ = 0;
  std::optional<double> low_, high_;
  bool low_is_open_ = false, high_is_open_ = false;
  std::vector<std::string> choices_;
  std::function<void(io::Json&)> get_;
  std::function<void(const io::Json&)> assign_;
};

/// All options of one command or table, made by the describe() of an options struct:
///   template <class Visitor> void describe(Visitor& v, ScheduleOptions& o) {
///     v.field("learning_rate", o.learning_rate, "peak learning rate").above(0);
///   }
/// The struct must outlive the Schema. Members may be bool, int64_t, double, std::string, std::optional of these or
/// of std::array<double, 3>, std::array<double, 3>, and std::vector<std::string>.
class Schema {
 public:
  /// Fields that follow stand under this heading in help.
  void group(std::string title) { group_ = std::move(title); }

  template <class Member>
  Field& field(const std::string& name, Member& member, const std::string& help);

  const std::vector<std::unique_ptr<Field>>& fields() const { return fields_; }
  /// By name, dashes and underscores alike; nullptr when there is none.
  Field* find(const std::string& name);
  /// The same, or UsageError "WHERE: unknown option 'x'; did you mean 'y'?".
  Field& at(const std::string& name, const std::string& where);
  std::vector<std::string> names() const;

  /// Sets every key of `object`; a table in a list of texts ([[stage]]) stands for its key=value text. Throws
  /// UsageError for an unknown key, a value of the wrong kind or out of range.
  void apply(const io::Json& object, const std::string& where);
  /// Sets from "key=value,key=value" (a --stage). A value may hold '+' but no comma.
  void apply_assignments(const std::string& text, const std::string& where);
  /// Every recorded field with its value, empty optionals left out.
  io::Json record() const;
  /// Throws UsageError naming the first required field that was not set.
  void check_required(const std::string& where) const;

 private:
  template <class T>
  struct Binding;
  std::string group_;
  std::vector<std::unique_ptr<Field>> fields_;
};

/// The text of `--help`: usage, groups, defaults, ranges.
std::string help_text(const std::string& command, const std::string& summary, const Schema& schema,
                      const std::string& examples);

namespace detail {
void to_json(io::Json& j, bool v);
void to_json(io::Json& j, int64_t v);
void to_json(io::Json& j, double v);
void to_json(io::Json& j, const std::string& v);
void to_json(io::Json& j, const std::array<double, 3>& v);
void to_json(io::Json& j, const std::vector<std::string>& v);
void from_json(const io::Json& j, bool& v);
void from_json(const io::Json& j, int64_t& v);
void from_json(const io::Json& j, double& v);
void from_json(const io::Json& j, std::string& v);
void from_json(const io::Json& j, std::array<double, 3>& v);
void from_json(const io::Json& j, std::vector<std::string>& v);
void set_null(io::Json& j);
template <class T>
struct Unwrapped {
  using Type = T;
};
template <class T>
struct Unwrapped<std::optional<T>> {
  using Type = T;
};
}  // namespace detail

template <class Member>
Field& Schema::field(const std::string& name, Member& member, const std::string& help) {
  using Value = typename detail::Unwrapped<Member>::Type;
  constexpr bool kIsOptional = !std::is_same_v<Member, Value>;
  fields_.push_back(std::make_unique<Field>());
  Field& field = *fields_.back();
  field.name_ = name;
  field.help_ = help;
  field.group_ = group_;
  if constexpr (std::is_same_v<Value, bool>) {
    field.kind_ = Field::Kind::kBool;
    field.is_switch_ = true;
  } else if constexpr (std::is_same_v<Value, int64_t>) {
    field.kind_ = Field::Kind::kInt;
    field.value_name_ = "N";
  } else if constexpr (std::is_same_v<Value, double>) {
    field.kind_ = Field::Kind::kDouble;
    field.value_name_ = "X";
  } else if constexpr (std::is_same_v<Value, std::array<double, 3>>) {
    field.kind_ = Field::Kind::kDouble;
    field.tuple_size_ = 3;
    field.value_name_ = "R,G,B";
  } else {
    field.value_name_ = "TEXT";
    field.is_repeatable_ = std::is_same_v<Value, std::vector<std::string>>;
  }
  field.get_ = [&member](io::Json& json) {
    if constexpr (kIsOptional) {
      if (member) {
        detail::to_json(json, *member);
      } else {
        detail::set_null(json);
      }
    } else {
      detail::to_json(json, member);
    }
  };
  field.assign_ = [&member](const io::Json& json) {
    Value value{};
    detail::from_json(json, value);
    member = std::move(value);
  };
  return field;
}

}  // namespace engraft::options
