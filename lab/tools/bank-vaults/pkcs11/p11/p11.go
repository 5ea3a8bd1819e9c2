// Package p11 has the names of github.com/miekg/pkcs11/p11 that bank-vaults uses. No module can be opened, so nothing
// behind it is ever reached.
package p11

import (
	"errors"

	"github.com/miekg/pkcs11"
)

var errNoHardware = errors.New("this build of bank-vaults has no hardware modules")

type (
	// Module would be a library of a vendor.
	Module struct{}
	// Slot would be a place for a token.
	Slot struct{}
	// Session would be a login to a token.
	Session interface {
		Login(pin string) error
		FindObject(template []*pkcs11.Attribute) (Object, error)
		CreateObject(template []*pkcs11.Attribute) (Object, error)
		GenerateKeyPair(request GenerateKeyPairRequest) (*KeyPair, error)
	}
	// Object would be a thing on a token.
	Object struct{}
	// PublicKey would be one on a token.
	PublicKey Object
	// PrivateKey would be one on a token.
	PrivateKey Object
	// KeyPair would be two of them.
	KeyPair struct {
		Public  PublicKey
		Private PrivateKey
	}
	// GenerateKeyPairRequest would ask for them.
	GenerateKeyPairRequest struct {
		Mechanism                                 pkcs11.Mechanism
		PublicKeyAttributes, PrivateKeyAttributes []*pkcs11.Attribute
	}
)

// OpenModule always fails.
func OpenModule(string) (Module, error) { return Module{}, errNoHardware }

// Info fails.
func (Module) Info() (pkcs11.Info, error) { return pkcs11.Info{}, errNoHardware }

// Slots fails.
func (Module) Slots() ([]Slot, error) { return nil, errNoHardware }

// ID is of no slot.
func (Slot) ID() uint { return 0 }

// Info fails.
func (Slot) Info() (pkcs11.SlotInfo, error) { return pkcs11.SlotInfo{}, errNoHardware }

// TokenInfo fails.
func (Slot) TokenInfo() (pkcs11.TokenInfo, error) { return pkcs11.TokenInfo{}, errNoHardware }

// OpenWriteSession fails.
func (Slot) OpenWriteSession() (Session, error) { return nil, errNoHardware }

// Value fails.
func (Object) Value() ([]byte, error) { return nil, errNoHardware }

// Encrypt fails.
func (PublicKey) Encrypt(pkcs11.Mechanism, []byte) ([]byte, error) { return nil, errNoHardware }

// Decrypt fails.
func (PrivateKey) Decrypt(pkcs11.Mechanism, []byte) ([]byte, error) { return nil, errNoHardware }
