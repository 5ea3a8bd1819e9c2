// Package v1beta1 has the names of github.com/metallb/frr-k8s/api/v1beta1 that MetalLB uses.
//
// The version that MetalLB requires is not served by the module proxy. It configures a BGP speaker; the controller that
// the tests run, and layer 2 as the program uses it, never make one of these.
package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// AddToScheme would make the kind known to clients.
func AddToScheme(*runtime.Scheme) error { return nil }

// FRRConfiguration would be what a speaker does.
type FRRConfiguration struct {
	metav1.TypeMeta
	metav1.ObjectMeta

	Spec FRRConfigurationSpec
}

// DeepCopyObject makes it an object, which nobody copies.
func (c *FRRConfiguration) DeepCopyObject() runtime.Object { panic("no speaker is configured here") }

// FRRConfigurationSpec and the types below would be parts of a configuration.
type FRRConfigurationSpec struct {
	BGP          BGPConfig
	NodeSelector metav1.LabelSelector
}

// DeepCopyInto would copy it.
func (FRRConfigurationSpec) DeepCopyInto(*FRRConfigurationSpec) {
	panic("no speaker is configured here")
}

type (
	// DynamicASNMode would say how an AS number is found.
	DynamicASNMode string

	// BGPConfig would be routers and their profiles.
	BGPConfig struct {
		Routers     []Router
		BFDProfiles []BFDProfile
	}

	// Router would be one of them.
	Router struct {
		ASN       uint32
		ID, VRF   string
		Neighbors []Neighbor
		Prefixes  []string
	}

	// Neighbor would be whom it talks to.
	Neighbor struct {
		ASN                                      uint32
		DynamicASN                               DynamicASNMode
		Address, Interface, Password, BFDProfile string
		Port                                     *uint16
		PasswordSecret                           SecretReference
		HoldTime, KeepaliveTime, ConnectTime     *metav1.Duration
		EBGPMultiHop, EnableGracefulRestart      bool
		DualStackAddressFamily, DisableMP        bool
		ToAdvertise                              Advertise
	}

	// SecretReference would name a password.
	SecretReference struct{ Name, Namespace string }

	// Advertise would be what it is told.
	Advertise struct {
		Allowed                   AllowedOutPrefixes
		PrefixesWithLocalPref     []LocalPrefPrefixes
		PrefixesWithCommunity     []CommunityPrefixes
		PrefixesWithAsPathPrepend []AsPathPrependPrefixes
	}

	// AllowedOutPrefixes and the types below would be groups of prefixes.
	AllowedOutPrefixes struct{ Prefixes []string }

	// LocalPrefPrefixes have a preference.
	LocalPrefPrefixes struct {
		LocalPref uint32
		Prefixes  []string
	}

	// CommunityPrefixes have a community.
	CommunityPrefixes struct {
		Community string
		Prefixes  []string
	}

	// AsPathPrependPrefixes have a longer path.
	AsPathPrependPrefixes struct {
		AsPathPrepend uint8
		Prefixes      []string
	}

	// BFDProfile would say how a neighbour's end is noticed.
	BFDProfile struct {
		Name                                                              string
		ReceiveInterval, TransmitInterval, DetectMultiplier, EchoInterval *uint32
		MinimumTTL                                                        *uint32
		EchoMode, PassiveMode                                             *bool
	}
)
