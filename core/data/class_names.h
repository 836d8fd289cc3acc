// What the classes of a data set are called: the files that say it, their order, and what is allowed. Names are
// visible(), whatever bytes they came as. Free of LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace handgrad {

// A label is a byte. More than ten classes must be asked for or have names, so that one damaged label cannot
// add classes.
constexpr std::int64_t most_classes = 256;
constexpr std::int64_t most_classes_unasked = 10;

using ClassNames = std::vector<std::string>;

// The class of this number for people: its name, or the number where there are no names.
std::string class_name(const ClassNames& names, std::int64_t label);

// Of labels.txt: a name on each line, the first of class 0. `file` is what messages call it. Throws DataError for
// an empty line, and where the two below do.
ClassNames parse_labels(std::string_view text, const std::string& file);

// Of EMNIST's mapping: on each line a label and the codes of its characters, of which the first is the name.
// Labels begin with first_label. Throws DataError, as for a label that is left out or named twice.
ClassNames parse_mapping(std::string_view text, std::int64_t first_label, const std::string& file);

// Whether one comes before the other: numbers by their value and before other names, these byte by byte.
bool is_before(const std::string& one, const std::string& other);

// Throws DataError for fewer classes than two, or more than 256.
void require_class_count(std::size_t count, const std::string& source);

// Throws DataError where names are equal. Of folders, which not every file system tells apart by that, letters of
// ASCII that differ in case alone are equal.
enum class LetterCase { differs, is_ignored };
void require_distinct(const ClassNames& names, const std::string& source, LetterCase letters);

// "cat, dog" for messages: the first of many.
std::string list_of(const ClassNames& names);

}  // namespace handgrad
