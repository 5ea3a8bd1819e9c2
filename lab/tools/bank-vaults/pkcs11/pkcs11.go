// Package pkcs11 has the names of github.com/miekg/pkcs11 that bank-vaults uses, and no hardware behind them.
//
// The real package is C, and with it the whole of bank-vaults would have to be built by a C compiler. The tests keep
// unseal keys in a Kubernetes Secret, as the program does, and never in a hardware module.
package pkcs11

// What bank-vaults names of the standard; no value is ever looked at.
const (
	CKA_CLASS uint = iota
	CKA_DECRYPT
	CKA_ENCRYPT
	CKA_EXTRACTABLE
	CKA_KEY_TYPE
	CKA_LABEL
	CKA_MODULUS_BITS
	CKA_PRIVATE
	CKA_PUBLIC_EXPONENT
	CKA_TOKEN
	CKA_VALUE
	CKA_VERIFY
	CKG_MGF1_SHA1
	CKK_RSA
	CKM_RSA_PKCS_KEY_PAIR_GEN
	CKM_RSA_PKCS_OAEP
	CKM_SHA_1
	CKO_DATA
	CKO_PRIVATE_KEY
	CKO_PUBLIC_KEY
	CKZ_DATA_SPECIFIED
)

// Mechanism would be an algorithm of a module.
type Mechanism struct{}

// Attribute would describe an object in a module.
type Attribute struct{}

// OAEPParams would be parameters of an algorithm.
type OAEPParams struct{}

// Info would describe a module.
type Info struct{ ManufacturerID string }

// SlotInfo would describe a slot.
type SlotInfo struct{}

// TokenInfo would describe a token.
type TokenInfo struct{ Label string }

// NewMechanism returns nothing that works.
func NewMechanism(uint, any) *Mechanism { return &Mechanism{} }

// NewOAEPParams returns nothing that works.
func NewOAEPParams(uint, uint, uint, []byte) *OAEPParams { return &OAEPParams{} }

// NewAttribute returns nothing that works.
func NewAttribute(uint, any) *Attribute { return &Attribute{} }
