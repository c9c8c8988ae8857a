"""The wire's limits, each with its reason. Both ends hold them; a message beyond one is refused by type."""

from __future__ import annotations

KIB = 1024

MAX_MESSAGE_BYTES = 256 * KIB  # one MQTT payload; twenty in flight fit in a Raspberry Pi's socket buffers
MAX_BODY_BYTES = 1024 * KIB  # after decompression; what one message may make a consumer allocate
COMPRESS_FROM_BYTES = 128  # below this zstd's own frame eats what it saves
MAX_ROWS = 4096  # samples in one message: over an hour at 1 Hz
MAX_BLOCKS = 256  # blocks in one message: MAX_UNITS units with four sets of filled slots each
MAX_SLOTS = 16  # four bits of flag a slot fill one 64-bit word
MAX_UNITS = 64  # sensor units one lamppost may declare within an epoch
MAX_UNIT_KEY = 65_535
MAX_LIST_ITEMS = 1024  # verdicts or conditions in one message, ranges in an ack
MAX_MAP_ITEMS = 256  # keys of a twin, of settings, of a command's arguments

MAX_NAME_CHARACTERS = 64  # codes, kinds, channels, keys
MAX_TEXT_CHARACTERS = 1024  # details, remedies, reasons
MAX_PEM_CHARACTERS = 32 * KIB  # a chain of three certificates is 3 KiB
MAX_CSR_BYTES = 8 * KIB
EPOCH_BYTES = 16
HASH_BYTES = 32  # SHA-256
MAX_FILE_BYTES = 1024 * KIB  # a support bundle: some cents of a metered SIM, a minute of a 2G link
FILE_PIECE_BYTES = 32 * KIB  # half a second of a 2G link: an alarm waits for no more than one piece
MAX_FILE_PIECES = MAX_FILE_BYTES // FILE_PIECE_BYTES

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1  # a slot's value: PostgreSQL's integer
MAX_SEQUENCE = 2**63 - 1  # PostgreSQL's bigint
MIN_TIME_MS = 0  # a clock that was never set says 1970, and may say so
MAX_TIME_MS = 4_102_444_800_000  # 2100-01-01
MAX_EXACT_INTEGER = 2**53  # a setting survives JSON

MAX_IN_FLIGHT = 20  # batches published and not yet acked
RESEND_AFTER_S = 30.0  # an unacked batch is sent again after this, with jitter
RESEND_JITTER = 0.2  # share of RESEND_AFTER_S, so that a city does not answer in chorus
