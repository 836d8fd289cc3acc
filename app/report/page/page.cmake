# Brings the page of `handgrad report` into the executable: fetches the chart libraries with npm and joins them to one file
# without remote addresses. Without npm the program is built all the same, and `report` says how to get it.

option(HANDGRAD_REPORTS "Build the pages of `handgrad report`, whose chart libraries npm fetches" ON)
find_program(HANDGRAD_NPM npm DOC "npm, which fetches the chart libraries of the report")

set(handgrad_page_sources ${PROJECT_SOURCE_DIR}/app/report/page)
set(handgrad_shared_page ${PROJECT_SOURCE_DIR}/app/cli/page)
set(handgrad_page ${PROJECT_BINARY_DIR}/page)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  ${handgrad_page_sources}/package.json ${handgrad_page_sources}/package-lock.json)

# Sets ERROR to why the packages of the lock file cannot be had, or to nothing.
function(handgrad_fetch_page_packages error)
  set(${error} "" PARENT_SCOPE)
  # A copy of the lock file is written only after npm has succeeded: it says what node_modules holds.
  set(stamp ${handgrad_page}/installed-lock.json)
  if(EXISTS ${stamp})
    file(SHA256 ${stamp} installed)
    file(SHA256 ${handgrad_page_sources}/package-lock.json wanted)
    if(installed STREQUAL wanted)
      return()
    endif()
    file(REMOVE ${stamp})
  endif()
  if(NOT HANDGRAD_NPM)
    set(${error} "npm is not installed" PARENT_SCOPE)
    return()
  endif()
  foreach(name package.json package-lock.json .npmrc)
    configure_file(${handgrad_page_sources}/${name} ${handgrad_page}/${name} COPYONLY)
  endforeach()
  message(STATUS "Fetching the chart libraries of the report with npm")
  execute_process(COMMAND ${HANDGRAD_NPM} ci --ignore-scripts --no-audit --no-fund --prefer-offline
    WORKING_DIRECTORY ${handgrad_page} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output TIMEOUT 300)
  if(NOT status EQUAL 0)
    string(REGEX MATCH "npm (error|ERR!) [^\n]*" line "${output}")
    set(${error} "`npm ci` failed (${status}) ${line}" PARENT_SCOPE)
    return()
  endif()
  file(COPY_FILE ${handgrad_page_sources}/package-lock.json ${stamp})
endfunction()

function(handgrad_join_page_libraries)
  # The licences of what the bundles hold ask to be passed on with them; most packages share one text.
  set(notices "")
  set(seen "")
  file(GLOB licences ${handgrad_page}/node_modules/vega*/LICENSE* ${handgrad_page}/node_modules/d3-*/LICENSE*
    ${handgrad_page}/node_modules/topojson-client/LICENSE* ${handgrad_page}/node_modules/internmap/LICENSE*
    ${handgrad_page}/node_modules/delaunator/LICENSE* ${handgrad_page}/node_modules/robust-predicates/LICENSE*
    ${handgrad_page}/node_modules/fast-json-patch/LICENSE* ${handgrad_page}/node_modules/semver/LICENSE*
    ${handgrad_page}/node_modules/json-stringify-pretty-compact/LICENSE*)
  foreach(licence IN LISTS licences)
    file(READ ${licence} text)
    string(SHA256 sum "${text}")
    if(NOT sum IN_LIST seen)
      list(APPEND seen ${sum})
      string(REPLACE "*/" "* /" text "${text}")
      get_filename_component(package ${licence} DIRECTORY)
      get_filename_component(package ${package} NAME)
      string(APPEND notices "\n--- ${package} and others\n\n${text}")
    endif()
  endforeach()

  set(code "")
  foreach(library vega vega-lite vega-embed)  # the order in which they need each other
    file(READ ${handgrad_page}/node_modules/${library}/build/${library}.min.js text)
    string(REGEX REPLACE "//# sourceMappingURL=[^\n]*" "" text "${text}")
    string(APPEND code "${text}\n")
  endforeach()
  set(all "/* Vega, Vega-Lite, Vega-Embed and what they hold.\n${notices}*/\n${code}")
  # No address may be left that a browser, or a reader's doubt, could follow: hosts go, and what then remains of a
  # comparison with "https://" is written with escapes. The names of XML name spaces are no addresses, and must stay.
  string(REGEX REPLACE "https?://www\\.w3\\.org/" "@w3-name-space@" all "${all}")
  string(REGEX REPLACE "https?://[A-Za-z0-9][A-Za-z0-9.-]*" "" all "${all}")
  string(REGEX REPLACE "(https?)://" "\\1:\\\\/\\\\/" all "${all}")
  string(REPLACE "@w3-name-space@" "http://www.w3.org/" all "${all}")
  # A file that does not change does not make its users be built again.
  if(EXISTS ${handgrad_page}/libraries.js)
    file(READ ${handgrad_page}/libraries.js present)
    if(present STREQUAL all)
      return()
    endif()
  endif()
  file(WRITE ${handgrad_page}/libraries.js "${all}")
endfunction()

# The scripts as one function, the styles as one sheet: parts in the order in which they need each other.
function(handgrad_join_page_parts)
  set(shared_scripts ${handgrad_shared_page}/bytes.js ${handgrad_shared_page}/elements.js)
  set(own_scripts base.js chart.js lines.js intervals.js histograms.js heatmap.js page.js)
  set(script "\"use strict\";\n\n(() => {\n")
  list(TRANSFORM own_scripts PREPEND ${handgrad_page_sources}/)
  foreach(part IN LISTS shared_scripts own_scripts)
    file(READ ${part} text)
    string(APPEND script "\n${text}")
  endforeach()
  file(CONFIGURE OUTPUT ${handgrad_page}/page.js CONTENT "${script}})();\n" @ONLY)
  set(style "")
  foreach(part ${handgrad_shared_page}/look.css ${handgrad_page_sources}/page.css ${handgrad_page_sources}/figures.css)
    file(READ ${part} text)
    string(APPEND style "${text}\n")
  endforeach()
  file(CONFIGURE OUTPUT ${handgrad_page}/page.css CONTENT "${style}" @ONLY)
endfunction()
file(GLOB handgrad_page_parts CONFIGURE_DEPENDS ${handgrad_page_sources}/*.js ${handgrad_page_sources}/*.css
  ${handgrad_shared_page}/*.js ${handgrad_shared_page}/*.css)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${handgrad_page_parts})

if(HANDGRAD_REPORTS)
  handgrad_fetch_page_packages(handgrad_page_error)
  if(handgrad_page_error)
    message(STATUS "Reports are off: ${handgrad_page_error}; install npm, see that it reaches its registry, and configure "
      "again")
    set(HANDGRAD_REPORTS OFF)  # for this time only: the next configuration tries again
  endif()
else()
  message(STATUS "Reports are off: HANDGRAD_REPORTS is ${HANDGRAD_REPORTS}")
endif()

target_sources(handgrad PRIVATE ${PROJECT_SOURCE_DIR}/app/report/report_page.cpp)
set_source_files_properties(${PROJECT_SOURCE_DIR}/app/report/report_page.cpp TARGET_DIRECTORY handgrad
  PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
if(HANDGRAD_REPORTS)
  handgrad_join_page_libraries()
  handgrad_join_page_parts()
  set_source_files_properties(${PROJECT_SOURCE_DIR}/app/report/report_page.cpp TARGET_DIRECTORY handgrad PROPERTIES
    COMPILE_DEFINITIONS
      "HANDGRAD_REPORTS;HANDGRAD_PAGE_SOURCES=\"${handgrad_page_sources}\";HANDGRAD_PAGE=\"${handgrad_page}\""
    OBJECT_DEPENDS
      "${handgrad_page_sources}/page.html;${handgrad_page}/page.css;${handgrad_page}/page.js;${handgrad_page}/libraries.js")
endif()
