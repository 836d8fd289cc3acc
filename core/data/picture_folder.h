// Data sets of picture files in a folder for each class.
#pragma once

#include "handgrad/data/dataset.h"

namespace handgrad {

// DIR/train/CLASS/… and DIR/test/CLASS/…, or DIR/CLASS/…, of which the test fraction is set apart: of each class
// as many pictures, at least one, whose SHA-256 of "CLASS/FILE" is smallest; that is the same for every seed and on
// every machine. Files are read in the order of the classes, then of their names, byte by byte. Hidden files and
// those beside the class folders are left alone. Pictures are scaled_picture() of what parse_picture reads.
//
// Throws DataError, naming the file, for pictures that cannot be read, unless they are to be skipped, and for a
// layout that is neither of the two, as where a class is empty or in the test alone, where a picture lies beside
// the folders, or where names differ in case alone; of the settings "image_size", "test_fraction" and "classes"
// where they do not go with it.
Dataset read_picture_folder(const DataRequest& request);

}  // namespace handgrad
