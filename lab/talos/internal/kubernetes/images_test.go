package kubernetes

import (
	"os"
	"testing"
)

func TestBytesOfAQuantity(t *testing.T) {
	for quantity, want := range map[string]int64{
		"1Gi": 1 << 30, "1.5Gi": 3 << 29, "500M": 500_000_000, "1024": 1024, "64Ki": 64 << 10, "2T": 2_000_000_000_000, "1000m": 1,
	} {
		if got, err := bytesOf(quantity); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", quantity, got, err, want)
		}
	}

	for _, quantity := range []string{"", "Gi", "1Gib", "1KM", "one"} {
		if got, err := bytesOf(quantity); err == nil {
			t.Errorf("%q is taken for %d bytes", quantity, got)
		}
	}
}

func TestImagesAreAsLargeAsTheirDriverMakesThem(t *testing.T) {
	for _, each := range []struct {
		driver, asked, says string
		bytes               int64
	}{
		{proxmoxCSI, "1500Mi", "2Gi", 2 << 30},
		{proxmoxCSI, "3Gi", "3Gi", 3 << 30},
		{"driver.longhorn.io", "1500Mi", "1500Mi", 1500 << 20},
	} {
		control := &ControlPlane{dir: t.TempDir()}

		said, err := control.makeImage("pvc-1", each.driver, each.asked)
		if err != nil {
			t.Fatal(err)
		}

		info, err := os.Stat(control.image("pvc-1"))
		if err != nil {
			t.Fatal(err)
		}

		if said != each.says || info.Size() != each.bytes {
			t.Errorf("%s of %s: %s, %d bytes; want %s, %d", each.asked, each.driver, said, info.Size(), each.says, each.bytes)
		}
	}
}
