// HTML pages that are one file: a frame, and the parts that stand in it. What the scripts and styles of all
// pages share is in page/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace handgrad::app {

// The frame with part("name") in the place of each mark @@name@@. A part may hold whatever it likes.
std::string fill_frame(std::string_view frame, const std::function<std::string(std::string_view)>& part);

// The same document without a `<`, which could end the script element that holds it.
std::string without_tags(const std::string& json);

// RFC 4648.
std::string base64(const std::uint8_t* bytes, std::size_t count);

}  // namespace handgrad::app
