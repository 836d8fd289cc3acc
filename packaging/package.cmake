# `cpack -G DEB` in the build folder: a Debian package of the program, with its man page and Bash's completion. It suits the
# release that it was built on, whose libraries it asks for.

set(HANDGRAD_MAINTAINER "handgrad authors <handgrad@example.org>" CACHE STRING "Who answers for the Debian package")
find_program(GZIP gzip REQUIRED)

set(reference ${PROJECT_BINARY_DIR}/reference)
add_custom_command(OUTPUT ${reference}/handgrad.1.gz ${reference}/handgrad.bash
  COMMAND ${PROJECT_SOURCE_DIR}/scripts/reference.sh $<TARGET_FILE:handgrad> ${reference}
  COMMAND ${GZIP} --force --best --no-name ${reference}/handgrad.1
  DEPENDS handgrad ${PROJECT_SOURCE_DIR}/scripts/reference.sh VERBATIM)
add_custom_target(reference ALL DEPENDS ${reference}/handgrad.1.gz ${reference}/handgrad.bash)

# The form of Debian's lists of changes.
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(WRITE ${reference}/changelog "handgrad (${PROJECT_VERSION}) stable; urgency=medium\n\n"
  "  * The changes are listed in CHANGELOG.md of the sources.\n\n -- ${HANDGRAD_MAINTAINER}  ${date}\n")
execute_process(COMMAND ${GZIP} --force --best --no-name ${reference}/changelog)

install(FILES ${reference}/handgrad.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT program)
install(FILES ${reference}/handgrad.bash RENAME handgrad
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT program)
# The program has libxsmm inside, whose licence asks for its notice.
file(READ LICENSE copyright)
if(xsmm_link)
  file(GLOB xsmm_notice /usr/share/doc/libxsmm-dev/copyright)
  foreach(notice IN LISTS xsmm_notice)
    file(READ ${notice} text)
    string(APPEND copyright "\n\nlibxsmm, which is part of the program:\n\n${text}")
  endforeach()
endif()
file(WRITE ${reference}/copyright "${copyright}")
install(FILES ${reference}/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
install(FILES ${reference}/changelog.gz DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
install(FILES packaging/lintian-overrides RENAME handgrad
  DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides COMPONENT program)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT ${HANDGRAD_MAINTAINER})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "trains fully connected classifiers with hand-written gradients")
set(CPACK_COMPONENT_PROGRAM_DESCRIPTION "handgrad trains fully connected classifiers for images on LibTorch.
Every gradient is written by hand from plain tensor operations and checked
against autograd. It trains many networks side by side, compares settings with
confidence intervals, and exports networks as TorchScript, ONNX, safetensors,
state dict, a C header or a web page to draw on.")
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL program)  # and not the library for other programs
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME handgrad)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
# Any BLAS satisfies what the program is linked to; it is fast on the one that it was built for.
if(blas_link)
  execute_process(COMMAND dpkg --search ${HANDGRAD_BLAS} OUTPUT_VARIABLE owner ERROR_QUIET)
  if(owner MATCHES "^([^:]+):")
    set(CPACK_DEBIAN_PACKAGE_DEPENDS ${CMAKE_MATCH_1})
  endif()
endif()
include(CPack)
