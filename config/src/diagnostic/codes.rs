//! The stable name of each kind. One list makes both `CODES` and the match, so that a new kind does not
//! compile before it has a code, and the tests see it at once.

use super::DiagnosticKind;

macro_rules! codes {
    ($($variant:ident $code:literal)*) => {
        /// The codes of all kinds. `config/broken/` holds a file for each.
        pub const CODES: &[&str] = &[$($code),*];

        impl DiagnosticKind {
            /// The stable name of the kind, as `error[...]` shows it.
            pub fn code(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $code,)*
                }
            }
        }
    };
}

codes! {
    FileNotFound "file_not_found"
    FileIsDirectory "file_is_directory"
    FileUnreadable "file_unreadable"
    FileTooLarge "file_too_large"
    NotUtf8 "not_utf8"
    FileEmpty "file_empty"

    Syntax "syntax"
    TabIndent "tab_indent"
    SeveralDocuments "several_documents"
    AliasUnknown "alias_unknown"
    AliasInItself "alias_in_itself"
    NestedTooDeep "nested_too_deep"
    TooManyValues "too_many_values"
    TagRefused "tag_refused"
    MergeKey "merge_key"
    KeyNotText "key_not_text"

    KeyUnknown "key_unknown"
    KeyTwice "key_twice"
    KeyMissing "key_missing"
    KeyNotApplicable "key_not_applicable"
    TypeWrong "type_wrong"
    ValueUnknown "value_unknown"
    ListEmpty "list_empty"
    NumberOutOfRange "number_out_of_range"

    SizeInvalid "size_invalid"
    SizeOverflow "size_overflow"
    SizeZero "size_zero"
    SizeOutOfRange "size_out_of_range"
    SizeNotMultiple "size_not_multiple"
    SizeNotPowerOfTwo "size_not_power_of_two"
    RateInvalid "rate_invalid"
    RateZero "rate_zero"
    DurationInvalid "duration_invalid"
    DurationOutOfRange "duration_out_of_range"

    NameInvalid "name_invalid"
    NameReserved "name_reserved"
    NameTwice "name_twice"

    CoreTwice "core_twice"
    SocketPathTooLong "socket_path_too_long"

    DriveKindMissing "drive_kind_missing"
    DriveKindSeveral "drive_kind_several"
    TransportMissing "transport_missing"
    TransportSeveral "transport_several"
    PciAddressInvalid "pci_address_invalid"
    AddressInvalid "address_invalid"
    OverUnknown "over_unknown"
    OverLoop "over_loop"
    DriveCovered "drive_covered"
    DriveSame "drive_same"

    MembersTooFew "members_too_few"
    MembersTooMany "members_too_many"
    MembersAllMissing "members_all_missing"
    MembersMissingTooMany "members_missing_too_many"
    MemberTwice "member_twice"
    MemberUnknown "member_unknown"
    MemberOfTwoArrays "member_of_two_arrays"
    MemberAndSpare "member_and_spare"
    ArrayLoop "array_loop"
    SpareUnknown "spare_unknown"
    SpareTwice "spare_twice"
    SparesUseless "spares_useless"
    LayoutInvalid "layout_invalid"
    NearTooLarge "near_too_large"
    ChunkBelowBlock "chunk_below_block"
    BlockSizesMixed "block_sizes_mixed"
    ConsistencyRefused "consistency_refused"
    ConsistencyHomeless "consistency_homeless"
    RatesCrossed "rates_crossed"
    AfterUnknown "after_unknown"
    AfterTwice "after_twice"
    AfterLoop "after_loop"

    NqnInvalid "nqn_invalid"
    NqnTwice "nqn_twice"
    ListenTwice "listen_twice"
    HostTwice "host_twice"
    NamespaceUnknown "namespace_unknown"
    NamespaceTwice "namespace_twice"
    NamespaceIsMember "namespace_is_member"
}
