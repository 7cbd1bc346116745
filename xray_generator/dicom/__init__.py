"""DICOM files and Hounsfield units: the one door through which foreign datasets and their pixels come."""

from xray_generator.dicom.header import Header as Header
from xray_generator.dicom.header import check_axial_ct as check_axial_ct
from xray_generator.dicom.header import check_placed as check_placed
from xray_generator.dicom.reading import FULL as FULL
from xray_generator.dicom.reading import MAX_PIXELS as MAX_PIXELS
from xray_generator.dicom.reading import is_dicom as is_dicom
from xray_generator.dicom.reading import lacks_mark as lacks_mark
from xray_generator.dicom.reading import num_pixels as num_pixels
from xray_generator.dicom.reading import read_gray as read_gray
from xray_generator.dicom.reading import read_header as read_header
from xray_generator.dicom.reading import read_slice as read_slice
from xray_generator.dicom.reading import read_tags as read_tags
from xray_generator.dicom.reading import read_values as read_values
