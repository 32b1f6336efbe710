using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent.Tests;

public sealed class ByteRingTests
{
    [Fact]
    public void Ring_RandomAddsAndDrops_KeepsOrder()
    {
        var ring = new ByteRing();
        var random = new Random(3);
        byte next = 0;
        byte expected = 0;
        for (int i = 0; i < 60; i++)
        {
            byte[] more = new byte[random.Next(0, ProtocolConstants.CreditWindow - ring.Count + 1)];
            for (int k = 0; k < more.Length; k++)
            {
                more[k] = next++;
            }

            ring.Add(more);
            int drop = random.Next(0, ring.First.Length + 1);
            foreach (byte b in ring.First[..drop])
            {
                Assert.Equal(expected++, b);
            }

            ring.Drop(drop);
        }
    }
}
